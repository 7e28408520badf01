// foreign: what builds of trees with a recipe of their own need besides: other images, and settings of their time.

package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"buildsys/internal/errkind"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
)

// checkForeign shows what looks wrong in a tree's own recipe, and fails when something is missing without which no step
// can be built.
func checkForeign(sys *System, p plan.Plan) error {
	for _, text := range p.Warnings {
		warnings{sys.Stderr}.Event(progress.Event{Kind: progress.Warning, Text: text})
	}
	if len(p.Lacks) > 0 {
		return errkind.BadUsage(errors.New(strings.Join(p.Lacks, "\n")))
	}
	return nil
}

// warnForeign shows all that checkForeign would find.
func warnForeign(shown warnings, p plan.Plan) {
	for _, text := range append(p.Warnings[:len(p.Warnings):len(p.Warnings)], p.Lacks...) {
		shown.Event(progress.Event{Kind: progress.Warning, Text: text})
	}
}

// knowsImages says whether it is known what all the images are that steps start from besides the SDK.
func (n *connection) knowsImages() bool {
	for _, ref := range n.images {
		if n.c.recordedImage(ref) == "" {
			return false
		}
	}
	return true
}

// recordedImages are the digests that images had when an engine was last asked.
func (c config) recordedImages(refs []string) map[string]string {
	known := map[string]string{}
	for _, ref := range refs {
		known[ref] = c.recordedImage(ref)
	}
	return known
}

// checkImages makes sure that the engine has the images that steps start from besides the SDK, and that they are those
// that the run's keys were computed with.
func (n *connection) checkImages(ctx context.Context) error {
	changed := false
	for _, ref := range n.images {
		digest, there, err := n.eng.HasImage(ctx, ref)
		if err != nil {
			return err
		}
		if !there {
			return n.imageMissing(ref)
		}
		if n.c.recordedImage(ref) != digest {
			if err := n.c.recordImage(ref, digest); err != nil {
				return errkind.BadEnvironment(err)
			}
		}
		keyed := n.keyedImages[ref]
		changed = changed || keyed != "" && keyed != digest
	}
	if changed {
		return errSDKChanged
	}
	return nil
}

// imageMissing says what to do about an image that the engine does not have. Nothing is ever pulled: what is built must not
// depend on what a name stands for today.
func (n *connection) imageMissing(ref string) error {
	from := fmt.Sprintf("the image %s, which the tree's Dockerfile starts from,", ref)
	name := ""
	if n.c.toolchain != "" && strings.HasPrefix(ref, n.c.toolchain) {
		name = ", or name another with BUILDSYS_TOOLCHAIN"
	}
	if n.c.engine.BuildKit != "" {
		return errkind.Environmentf("buildkitd cannot find %s in its registry%s", from, name)
	}
	return errkind.Environmentf("%s is not on the engine: pull it first (docker pull %s)%s", from, ref, name)
}

// toolchain is the image that a tree's Makefile.toml names, or at least its parts; "" when that cannot be known.
func toolchain(get func(env, fallback string) string, arch string) string {
	if told := get("BUILDSYS_TOOLCHAIN", ""); told != "" {
		return told
	}
	registry, name, version := get("BUILDSYS_REGISTRY", ""), get("BUILDSYS_SDK_NAME", ""), get("BUILDSYS_SDK_VERSION", "")
	if registry == "" || name == "" || version == "" {
		return ""
	}
	return registry + "/" + name + "-toolchain-" + arch + ":" + version
}
