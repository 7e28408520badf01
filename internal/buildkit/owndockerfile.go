// Own Dockerfiles: builds by one that was not written for buildsys. The context is a tree without a
// name, and the outputs are what the target has in /output.

package buildkit

import (
	"bytes"
	"fmt"

	"github.com/moby/buildkit/frontend/dockerui"

	"buildsys/internal/plan"
)

// outputTarget is the stage that contains only the outputs.
const outputTarget = "buildsys-output"

// isOwn reports whether a build uses such a Dockerfile.
func isOwn(s plan.Solve) bool {
	_, ok := s.Contexts[plan.TreeContext]
	return ok
}

// collected returns the build that leaves only what s has in /output. The added stage comes last,
// so that lines keep their numbers.
func collected(s plan.Solve) plan.Solve {
	if !isOwn(s) {
		return s
	}
	text := bytes.TrimRight(s.Dockerfile, "\n")
	s.Dockerfile = fmt.Appendf(text[:len(text):len(text)],
		"\nFROM scratch AS %s\nCOPY --from=%s %s/ /\n", outputTarget, s.Target, outputDir)
	s.Target = outputTarget
	return s
}

// inputName returns the name under which the frontend finds a context.
func inputName(key string) string {
	if key == plan.TreeContext {
		return dockerui.DefaultLocalNameContext
	}
	return key
}
