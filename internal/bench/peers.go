// Peers: buildsys, and the tools that use no containers, or one container at a time.

package bench

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// peer is one tool to time. It works in a separate tree, so that no tool benefits from what another
// has built.
type peer struct {
	name   string // column
	files  func(pkgs []pkg) map[string]string
	run    func(dir string, pkgs []pkg) command
	output func(name string) string // path of a package's output in the tree
	// made lists the files and directories that a run leaves in the tree; a clone lacks them.
	made []string
	// solves returns how many builds a run requests from the engine, given how many jobs ran.
	solves func(pkgs []pkg, jobs int) int
	// offline is added to the environment if nothing may be built: buildsys then finds no engine.
	offline []string
	watched bool // on a terminal, with the live view
}

func onePerJob(_ []pkg, jobs int) int  { return jobs }
func onePerPackage(p []pkg, _ int) int { return len(p) }
func oneForAll([]pkg, int) int         { return 1 }
func none([]pkg, int) int              { return 0 }

// buildsysPeer builds the packages as buildsys builds any tree with its own recipe.
func buildsysPeer(m machine, e peerEngine) peer {
	return peer{
		name: "buildsys, " + e.name,
		files: func(pkgs []pkg) map[string]string {
			files := map[string]string{
				"Release.toml": "version = \"1.0.0\"\n",
				"Dockerfile": "# buildsys-recipe: 2\nARG SDK\nFROM ${SDK} AS build\nARG PACKAGE\n" +
					"RUN --mount=from=buildsys.invalid/recipe,target=/host/recipe" +
					" --mount=from=buildsys.invalid/package,target=/host/packages" +
					" --mount=from=buildsys.invalid/rpms,target=/host/rpms" +
					" sh /host/recipe/tools/package/build-rpm ${PACKAGE} /host/packages /host/rpms /output\n" +
					"FROM scratch AS package\nCOPY --from=build /output/ /\n",
			}
			for _, p := range pkgs {
				text := fmt.Sprintf("[package]\nname = %q\nversion = \"0.1.0\"\nedition = \"2021\"\npublish "+
					"= false\n\n"+
					"[lib]\npath = \"../packages.rs\"\n\n[build-dependencies]\n", p.name)
				for _, n := range p.needs {
					text += fmt.Sprintf("%s = { path = \"../%[1]s\" }\n", n)
				}
				files["packages/"+p.name+"/Cargo.toml"] = text
			}
			return files
		},
		run: func(dir string, pkgs []pkg) command {
			args := []string{m.Buildsys, "build-package", "--verbose", "--jobs", fmt.Sprint(m.Jobs)}
			for _, p := range pkgs {
				args = append(args, p.name)
			}
			return command{dir: dir, args: args, env: m.buildsysEnv(e)}
		},
		output: func(name string) string { return "build/rpms/x86_64/" + name + "/" + rpmName(name) },
		made:   []string{"build"},
		solves: onePerJob,
		offline: []string{"DOCKER_HOST=tcp://127.0.0.1:1", "BUILDSYS_BUILDKIT_HOST=" +
			strings.Replace(e.address, "unix:", "unix:/nowhere", 1)},
	}
}

// watchedPeer is buildsys as a person at a terminal sees it, with the live view. Its jobs are not
// counted: the view does not show every line.
func watchedPeer(m machine, e peerEngine) peer {
	p := buildsysPeer(m, e)
	p.name, p.watched = p.name+", live view", true
	run := p.run
	p.run = func(dir string, pkgs []pkg) command {
		c := run(dir, pkgs)
		c.terminal = true
		c.args = slices.Replace(c.args, 2, 3, "--progress", "live") // instead of --verbose
		return c
	}
	return p
}

// ninjaPeer runs the jobs as plain processes and trusts file times: the lower bound for any tool.
func ninjaPeer(m machine) peer {
	return peer{
		name: "ninja",
		files: func(pkgs []pkg) map[string]string {
			var b strings.Builder
			// restat and cmp give ninja early cut-off, which it has only if its user asks for it.
			b.WriteString("rule job\n  restat = 1\n  command = sh tools/package/build-rpm $pkg " +
				"packages/$pkg out tmp/$pkg && mkdir -p out/$pkg" +
				" && { cmp -s tmp/$pkg/$rpm $out || mv tmp/$pkg/$rpm $out; }\n")
			for _, p := range pkgs {
				fmt.Fprintf(&b, "build out/%s/%s: job packages/%[1]s/%[1]s.spec tools/package/build-rpm",
					p.name, rpmName(p.name))
				for _, n := range p.needs {
					fmt.Fprintf(&b, " out/%s/%s", n, rpmName(n))
				}
				fmt.Fprintf(&b, "\n  pkg = %s\n  rpm = %s\n", p.name, rpmName(p.name))
			}
			return map[string]string{"build.ninja": b.String()}
		},
		run: func(dir string, _ []pkg) command {
			return command{dir: dir, args: []string{"ninja", "-k", "0", "-j", fmt.Sprint(m.Jobs)}}
		},
		output: func(name string) string { return "out/" + name + "/" + rpmName(name) },
		made:   []string{"out", "tmp", ".ninja_log", ".ninja_deps"},
		solves: none,
	}
}

// bottlerocketPeer is the flow of Bottlerocket's buildsys: for each package a docker build with the
// whole tree as context and a random NOCACHE, docker create, cp, rm, rmi, driven by file times of
// stamps, there by cargo, here by make.
func bottlerocketPeer(m machine) peer {
	return peer{
		name: "Bottlerocket's flow",
		files: func(pkgs []pkg) map[string]string {
			var all, rules strings.Builder
			for _, p := range pkgs {
				fmt.Fprintf(&all, " .stamps/%s", p.name)
				fmt.Fprintf(&rules, ".stamps/%s: packages/%[1]s/%[1]s.spec tools/package/build-rpm", p.name)
				for _, n := range p.needs {
					fmt.Fprintf(&rules, " .stamps/%s", n)
				}
				fmt.Fprintf(&rules, "\n\t@sh ./docker-sequence %s\n\t@touch $@\n", p.name)
			}
			return map[string]string{
				"Makefile":        "all:" + all.String() + "\n" + rules.String(),
				".dockerignore":   ".stamps\n",
				"docker-sequence": dockerSequence,
				"Dockerfile": "FROM " + m.base.image + " AS build\nARG PACKAGE\nARG NOCACHE\n" +
					"RUN --mount=target=/host sh /host/tools/package/build-rpm ${PACKAGE} " +
					"/host/packages/${PACKAGE} /host/rpms /output\n" +
					"FROM scratch AS package\nCOPY --from=build /output/ /output/\n",
			}
		},
		run: func(dir string, _ []pkg) command {
			return command{dir: dir, args: []string{"make", "-k", "-j", fmt.Sprint(m.Jobs)}, env: []string{
				"DOCKER=" + m.docker, "DOCKER_BUILDKIT=1", "BUILDKIT_PROGRESS=plain",
				"TOKEN=" + filepath.Base(filepath.Dir(dir)) + filepath.Base(dir),
			}}
		},
		output: func(name string) string { return "rpms/" + name + "/" + rpmName(name) },
		made:   []string{"rpms", ".stamps"},
		solves: onePerJob,
	}
}

// dockerSequence is what Bottlerocket's buildsys runs for each package.
const dockerSequence = `#!/bin/sh
set -e
tag=buildsys-pkg-$1-x86_64-$TOKEN
"$DOCKER" rm --force "$tag" >/dev/null 2>&1 || true
"$DOCKER" rmi --force "$tag" >/dev/null 2>&1 || true
"$DOCKER" build . --network none --target package --tag "$tag" \
  --build-arg PACKAGE="$1" --build-arg NOCACHE="$(od -An -N4 -tu4 /dev/urandom)"
"$DOCKER" create --name "$tag" "$tag" true >/dev/null
mkdir -p "rpms/$1" .stamps
"$DOCKER" cp "$tag:/output/." "rpms/$1"
"$DOCKER" rm --force "$tag" >/dev/null
"$DOCKER" rmi --force "$tag" >/dev/null
`
