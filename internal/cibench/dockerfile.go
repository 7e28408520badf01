// The package graph as one Dockerfile, as somebody without buildsys would write it: every package
// is a RUN on top of the one before, and the image the last, so that the layers of the finished
// image are a cache for the next build.

package cibench

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"buildsys"
	"buildsys/internal/manifest"
	"buildsys/internal/plan"
	"buildsys/internal/workspace"
)

// makePlan plans what buildsys would build in the tree. The sources are those of the lookaside
// cache.
func (s *scene) makePlan(tree, buildID string) (plan.Plan, error) {
	ws, err := workspace.Load(tree)
	if err != nil {
		return plan.Plan{}, err
	}
	recipe, err := ws.Recipe(buildsys.Recipe)
	if err != nil {
		return plan.Plan{}, err
	}
	text, err := os.ReadFile(filepath.Join(tree, "Makefile.toml"))
	if err != nil {
		return plan.Plan{}, err
	}
	env, problems := manifest.ParseMakefile("Makefile.toml", text, func(string) string { return "" })
	if len(problems) > 0 {
		return plan.Plan{}, problems
	}
	name := env["BUILDSYS_NAME"]
	pretty := env["BUILDSYS_PRETTY_NAME"]
	if pretty == "" {
		pretty = name
	}
	return plan.Make(ws, recipe, plan.Request{
		Arch: s.Arch, Variant: s.Variant, Packages: s.Packages, Image: len(s.Packages) == 0,
		SDK: s.reg.address + "/" + sdkName, BuildDir: filepath.Join(tree, "build"),
		Identity: plan.Identity{
			Name: name, PrettyName: pretty, Version: ws.Release.Version, BuildID: buildID,
		},
		Sources: plan.Sources{
			Path: func(f manifest.ExternalFile) string {
				return filepath.Join(s.Lookaside, f.Name(), f.SHA512, f.Name())
			},
			Modules: func(manifest.ExternalFile) string { return "" },
			Vendor:  func(manifest.ExternalFile) string { return "" },
			Sums:    func(plan.GoSums) string { return "" },
		},
		Files: plan.ImageFiles{Signing: func(plan.Signatures) (plan.SigningKeys, error) {
			return plan.SigningKeys{},
				fmt.Errorf("variant %s is signed, which this comparison does not support without "+
					"buildsys", s.Variant)
		}},
	})
}

// outputDir returns where the finished image has the outputs: packages' RPMs, or the images.
func outputDir(p plan.Plan) string {
	if p.Steps[len(p.Steps)-1].Kind == plan.Variant {
		return "/output"
	}
	return "/host/rpms"
}

// dockerfile returns the text. For each context of its step, a RUN sees the directory STEP/CONTEXT
// of the build's context, and it removes what the next one must not carry along.
func dockerfile(p plan.Plan) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "FROM %s\n", p.Steps[0].Solve.Args["SDK"])
	for _, step := range p.Steps {
		b.WriteString("RUN")
		for _, name := range slices.Sorted(maps.Keys(step.Solve.Contexts)) {
			if !before(name) {
				fmt.Fprintf(&b, " --mount=source=%s,target=/host/%s", contextDir(step, name), name)
			}
		}
		b.WriteString(" \\\n   ")
		for _, name := range slices.Sorted(maps.Keys(step.Solve.Args)) {
			if name != "SDK" {
				fmt.Fprintf(&b, " %s='%s'", name, strings.ReplaceAll(step.Solve.Args[name], "'", `'\''`))
			}
		}
		b.WriteString(" \\\n    bash /host/recipe/tools/")
		switch step.Kind {
		case plan.Package:
			fmt.Fprintf(&b, "package/build-rpm && mkdir -p /host/rpms/%s && mv /output/* "+
				"/host/rpms/%[1]s/ && rm -rf /home/builder/rpmbuild /var/cache/dnf /tmp/*\n", step.Name)
		case plan.KmodKit:
			b.WriteString("kmodkit/build-kmod-kit && mkdir -p /host && mv /output /host/kmod-kit\n")
		case plan.Variant:
			b.WriteString("image/build-variant\n")
		default:
			return "", fmt.Errorf("step %s: there is no RUN for a %s", step.ID, step.Kind)
		}
	}
	return b.String(), nil
}

// before reports whether the RUNs before have put what is in a context in place.
func before(context string) bool { return context == "rpms" || context == string(plan.KmodKit) }

// contextDir returns the directory in the build's context for one context of a step. All packages
// share their recipe.
func contextDir(step plan.Step, name string) string {
	if name == "recipe" {
		return "recipe-" + string(step.Kind)
	}
	return filepath.ToSlash(filepath.Join(string(step.Kind)+"s", step.Name, name))
}

// writeContext writes the context of the build: the Dockerfile, and the files of all steps.
func writeContext(p plan.Plan, dir string) error {
	text, err := dockerfile(p)
	if err != nil {
		return err
	}
	for _, step := range p.Steps {
		for name, c := range step.Solve.Contexts {
			if before(name) {
				continue
			}
			at := filepath.Join(dir, filepath.FromSlash(contextDir(step, name)))
			if err := os.MkdirAll(at, 0o755); err != nil {
				return err
			}
			for _, f := range c.Files {
				if err := place(f, at); err != nil {
					return fmt.Errorf("step %s: %w", step.ID, err)
				}
			}
		}
	}
	return os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(text), 0o644)
}

func place(f plan.File, dir string) error {
	path := filepath.Join(dir, filepath.FromSlash(f.Name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if f.Host == "" {
		return os.WriteFile(path, f.Data, f.Mode)
	}
	in, err := os.Open(f.Host)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, fs.FileMode(f.Mode))
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
