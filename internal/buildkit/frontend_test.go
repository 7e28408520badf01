// Definitions made from Dockerfiles, without an engine.

package buildkit

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	gatewaypb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"

	"buildsys/internal/engine"
	"buildsys/internal/plan"
)

const testSDK = "buildsys.invalid/sdk:test"

// definition runs the frontend for an engine with all capabilities.
func definition(t *testing.T, s plan.Solve) *pb.Definition {
	t.Helper()
	in, err := newInputs(s.Contexts, "session", &digestMemo{}, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	opts := gateway.BuildOpts{Caps: gatewaypb.Caps.CapSet(gatewaypb.Caps.All()),
		LLBCaps: pb.Caps.CapSet(pb.Caps.All())}
	image := imageAnswer{ref: testSDK,
		config: []byte(`{"architecture":"amd64","os":"linux",` +
			`"rootfs":{"type":"layers","diff_ids":["sha256:` + strings.Repeat("0", 64) + `"]}}`)}
	s.Args = map[string]string{"SDK": testSDK}
	g := &guard{sdk: testSDK, dockerfile: s.Dockerfile,
		attrs:   frontendAttrs(s, sdkImage{}, engine.Limits{}),
		session: "session", inputs: in, notes: &notes{},
		known: &answers{opts: opts, images: map[string]imageAnswer{testSDK + " linux/amd64": image,
			testSDK: image}}}
	if err := g.build(t.Context()); err != nil {
		t.Fatal(err)
	}
	return g.definition
}

// describe writes the operations of a definition, one a line, with their inputs.
func describe(t *testing.T, def *pb.Definition) string {
	t.Helper()
	var b strings.Builder
	number := map[string]int{}
	for i, raw := range def.Def {
		var op pb.Op
		if err := op.UnmarshalVT(raw); err != nil {
			t.Fatal(err)
		}
		number[digest.FromBytes(raw).String()] = i
		fmt.Fprintf(&b, "%d:", i)
		for _, a := range op.GetFile().GetActions() {
			switch {
			case a.GetMkdir() != nil:
				fmt.Fprintf(&b, " mkdir %s", a.GetMkdir().Path)
			case a.GetMkfile() != nil:
				fmt.Fprintf(&b, " mkfile %s", a.GetMkfile().Path)
			case a.GetCopy() != nil:
				fmt.Fprintf(&b, " copy %s %s", a.GetCopy().Src, a.GetCopy().Dest)
			}
		}
		if src := op.GetSource(); src != nil {
			b.WriteString(" " + src.Identifier)
		}
		for _, m := range op.GetExec().GetMounts() {
			fmt.Fprintf(&b, " %s=%d", m.Dest, m.Input)
			if m.Selector != "" {
				fmt.Fprintf(&b, ":%s", m.Selector)
			}
			if m.Output >= 0 {
				fmt.Fprintf(&b, ">%d", m.Output)
			}
		}
		var from []string
		for _, in := range op.Inputs {
			from = append(from, fmt.Sprintf("%d.%d", number[in.Digest], in.Index))
		}
		fmt.Fprintf(&b, " from %s\n", strings.Join(from, " "))
	}
	return b.String()
}

const testRecipe = "ARG SDK\nFROM ${SDK} AS build\nRUN " +
	"--mount=from=buildsys.invalid/package,target=/host/package true\n"

func TestOutputsAreNotCopied(t *testing.T) {
	const end = "FROM scratch AS package\nCOPY --from=build /output/ /\n"
	contexts := map[string]plan.Context{"package": {}}
	tests := map[string]struct {
		dockerfile string
		direct     bool
	}{
		"the recipe":        {testRecipe + end, true},
		"another directory": {testRecipe + strings.ReplaceAll(end, "/output/", "/out/"), false},
		"into a directory": {testRecipe + strings.ReplaceAll(end, "/output/ /", "/output/ /rpms/"),
			false},
		"two RUNs": {testRecipe + "RUN false\n" + end, false},
		"not root": {strings.ReplaceAll(testRecipe, "RUN", "USER builder\nRUN") + end,
			false},
		"root again": {strings.ReplaceAll(testRecipe, "RUN", "USER root\nRUN") + end, true},
		"with another owner": {testRecipe + strings.ReplaceAll(end, "COPY", "COPY --chown=1:1"),
			false},
		"two copies":        {testRecipe + end + "COPY --from=build /output/a /b\n", false},
		"of the whole root": {testRecipe + strings.ReplaceAll(end, "/output/", "/"), false},
		"a socket": {strings.ReplaceAll(testRecipe, "RUN",
			"RUN --mount=type=ssh,id=a,target=/host/socket") + end, true},
		"a secret": {strings.ReplaceAll(testRecipe, "RUN",
			"RUN --mount=type=secret,id=a,target=/host/key") + end, true},
		"a socket there": {strings.ReplaceAll(testRecipe, "RUN",
			"RUN --mount=type=ssh,id=a,target=/output") + end, false},
		"mounted there already": {strings.ReplaceAll(testRecipe, "RUN",
			"RUN --mount=type=tmpfs,target=/output") + end, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			def := definition(t, plan.Solve{Name: "a", Target: "package",
				Dockerfile: []byte(test.dockerfile), Contexts: contexts})
			text := describe(t, def)
			if direct := strings.Contains(text, " /output=-1>1 "); direct != test.direct {
				t.Errorf("a mount at /output: %v, want %v\n%s", direct, test.direct, text)
			}
			if copies := strings.Contains(text, " copy "); copies == test.direct {
				t.Errorf("a copy: %v, want %v\n%s", copies, !test.direct, text)
			}
		})
	}
}

// TestRecipesOutputsAreNotCopied checks the recipes themselves: a step that copied its outputs would
// have the engine look through the whole SDK, and keep 2 MB about it in its database.
func TestRecipesOutputsAreNotCopied(t *testing.T) {
	for file, targets := range map[string][]string{
		"../../Dockerfile":          {"package", "modules", "go", "kit"},
		"../../twoliter/Dockerfile": {"package", "modules"},
	} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text = append([]byte("ARG SDK\n"), text...) // that of Twoliter stands after the other's first lines
		contexts := map[string]plan.Context{}
		for _, m := range regexp.MustCompile(`from=buildsys\.invalid/(\w+)`).FindAllSubmatch(text, -1) {
			contexts[string(m[1])] = plan.Context{}
		}
		for _, target := range targets {
			def := definition(t, plan.Solve{Name: "a", Target: target, Dockerfile: text, Contexts: contexts})
			if text := describe(t, def); !strings.Contains(text, " /output=-1>") {
				t.Errorf("%s, target %s: no mount at /output:\n%s", file, target, text)
			}
		}
	}
}

// TestDefinition checks a whole definition: what is in it, what is mounted where, and that
// everything is connected.
func TestDefinition(t *testing.T) {
	big := plan.Context{Files: []plan.File{{Name: "big", Data: make([]byte, inlineBytes+1)}}}
	small := plan.Context{Files: []plan.File{{Name: "a.spec", Data: []byte("x")}}}
	recipe := strings.ReplaceAll(testRecipe, " true\n",
		" --mount=from=buildsys.invalid/rpms,target=/host/rpms true\n")
	s := plan.Solve{Name: "a", Target: "package", Dockerfile: []byte(recipe +
		"FROM scratch AS package\nCOPY --from=build /output/ /\n"),
		Contexts: map[string]plan.Context{"package": small, "rpms": big, "recipe": small}}
	def := definition(t, s)
	text := describe(t, def)
	for _, want := range []string{"docker-image://buildsys.invalid/sdk:test from",
		"local://context-rpms from", "mkdir / mkdir /package mkfile /package/a.spec from",
		" /=0>0 /host/package=1:/package /host/rpms=2 /output=-1>1 from", "4: from 3.1\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if again := definition(t, s); !slices.EqualFunc(def.Def, again.Def, slices.Equal) {
		t.Errorf("equal builds have different definitions:\n%s%s", text, describe(t, again))
	}
	g := &guard{notes: &notes{}}
	g.remember(def.Source)
	if at := g.line(digest.FromBytes(def.Def[3])); at != "Dockerfile:3" {
		t.Errorf("the RUN is said to be at %q", at)
	}
	if _, err := llb.NewDefinitionOp(def); err != nil {
		t.Error(err)
	}
}
