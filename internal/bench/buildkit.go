// Peers that give the graph to BuildKit: docker buildx bake, and one solve for everything.

package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"buildsys/internal/buildkit"
	"buildsys/internal/engine"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
)

// stages returns a Dockerfile with one stage for each package. packages and recipe are how a RUN
// mounts a package's own files and the job; either may contain %s for the package's name.
func stages(base string, pkgs []pkg, packages, recipe string) string {
	var b strings.Builder
	for _, p := range pkgs {
		fmt.Fprintf(&b, "FROM %s AS %s\n"+
			"RUN --mount=%s,target=/host/package --mount=%s,target=/host/tools",
			base, p.name, strings.ReplaceAll(packages, "%s", p.name), recipe)
		for _, n := range p.needs {
			fmt.Fprintf(&b, " --mount=from=%s,source=/output,target=/host/rpms/%[1]s", n)
		}
		fmt.Fprintf(&b, " sh /host/tools/build-rpm %s /host/package /host/rpms /output\n", p.name)
	}
	return b.String()
}

// bakePeer is docker buildx bake with one file that has a target for each package.
func bakePeer(m machine, e peerEngine) peer {
	files := func(pkgs []pkg) map[string]string {
		dockerfile := stages(m.base.image, pkgs, "source=packages/%s", "source=tools/package")
		targets, names := map[string]any{}, []string{}
		for _, p := range pkgs {
			dockerfile += fmt.Sprintf("FROM scratch AS out-%s\nCOPY --from=%[1]s /output/ /\n", p.name)
			target := map[string]any{"context": ".", "target": "out-" + p.name, "network": "none",
				"output": []string{"type=local,dest=out/" + p.name}}
			if e.address != "" {
				target["contexts"] = map[string]string{m.base.image: "oci-layout://" + m.base.layout + "@" +
					m.base.digest}
			}
			targets[p.name] = target
			names = append(names, p.name)
		}
		group := map[string]any{"default": map[string]any{"targets": names}}
		file, _ := json.MarshalIndent(map[string]any{"group": group, "target": targets}, "", "  ")
		return map[string]string{"Dockerfile": dockerfile, "docker-bake.json": string(file),
			".dockerignore": "out\n"}
	}
	return peer{
		name:  "bake, " + e.name,
		files: files,
		run: func(dir string, _ []pkg) command {
			return command{dir: dir, args: []string{m.buildx, "bake", "--progress=plain", "-f",
				"docker-bake.json"}, env: e.buildxEnv(m)}
		},
		output: func(name string) string { return "out/" + name + "/" + rpmName(name) },
		made:   []string{"out"},
		solves: onePerPackage,
	}
}

// wholeGraph returns a Dockerfile whose target "package" has the outputs of all packages.
func wholeGraph(base string, pkgs []pkg) string {
	dockerfile := stages(base, pkgs, "from=buildsys.invalid/packages,source=%s",
		"from=buildsys.invalid/recipe")
	dockerfile += "FROM " + base + " AS all\nRUN"
	for _, p := range pkgs {
		dockerfile += fmt.Sprintf(" --mount=from=%s,source=/output,target=/host/%[1]s", p.name)
	}
	return dockerfile + " mkdir -p /output && cp /host/*/*.rpm /output\nFROM scratch AS " +
		"package\nCOPY --from=all /output/ /\n"
}

// solvePeer builds the whole graph as one solve: with buildctl on buildkitd, or on the Docker
// engine with the client of buildsys itself, so that nothing differs but the number of solves.
func solvePeer(m machine, e peerEngine) peer {
	return peer{
		name: "one solve, " + e.name,
		files: func(pkgs []pkg) map[string]string {
			return map[string]string{"Dockerfile": wholeGraph(m.base.image, pkgs)}
		},
		run: func(dir string, _ []pkg) command {
			if e.address == "" {
				return command{dir: dir, args: []string{m.Self, "-one-solve", m.base.image}}
			}
			return command{dir: dir, args: []string{
				m.buildctl, "--addr", e.address, "build", "--progress", "plain", "--frontend", "dockerfile.v0",
				"--opt", "target=package", "--opt", "force-network-mode=none",
				"--local", "context=.", "--local", "dockerfile=.", "--local", "packages=packages", "--local",
				"tools=tools/package",
				"--opt", "context:buildsys.invalid/packages=local:packages", "--opt",
				"context:buildsys.invalid/recipe=local:tools",
				"--oci-layout", "base=" + m.base.layout, "--opt", "context:" + m.base.image +
					"=oci-layout://base@" + m.base.digest,
				"--output", "type=local,dest=out",
			}}
		},
		output: func(name string) string { return "out/" + rpmName(name) },
		made:   []string{"out"},
		solves: oneForAll,
	}
}

// OneSolve builds the whole tree in dir as one solve on the Docker engine, and puts the outputs in
// out/ there.
func OneSolve(ctx context.Context, dir, base string, log io.Writer) error {
	dockerfile, err := os.ReadFile(filepath.Join(dir, "Dockerfile"))
	if err != nil {
		return err
	}
	specs, err := filepath.Glob(filepath.Join(dir, "packages", "*", "*"))
	if err != nil {
		return err
	}
	var packages []plan.File // sorted, as Glob's results are
	for _, at := range specs {
		rel, err := filepath.Rel(filepath.Join(dir, "packages"), at)
		if err != nil {
			return err
		}
		packages = append(packages, plan.File{Name: filepath.ToSlash(rel), Host: at, Mode: 0o644})
	}
	builder, err := buildkit.Dial(ctx, engine.Options{Checkout: dir})
	if err != nil {
		return err
	}
	defer builder.Close()
	out, err := os.MkdirTemp(dir, "out-")
	if err != nil {
		return err
	}
	err = builder.Build(ctx, plan.Solve{
		Name: "all", Dockerfile: dockerfile, Target: "package", Args: map[string]string{"SDK": base},
		Contexts: map[string]plan.Context{
			"packages": {Files: packages},
			"recipe": {Files: []plan.File{{Name: "build-rpm", Host: filepath.Join(dir, "tools", "package",
				"build-rpm"), Mode: 0o755}}},
		},
	}, out, func(e progress.Event) { fmt.Fprintln(log, e.Text) })
	if err != nil {
		return errors.Join(err, os.RemoveAll(out))
	}
	final := filepath.Join(dir, "out")
	if err := os.RemoveAll(final); err != nil {
		return err
	}
	return os.Rename(out, final)
}
