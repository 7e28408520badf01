// The binaries, static and the same wherever they are compiled, and what they print of themselves.

package main

import (
	"context"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// toolchain is how the go command is run.
type toolchain struct {
	version string // "go1.26.8"
	root    string // GOROOT
	env     []string
}

// keptSettings are those of the user that say where modules and the cache of builds are. All others
// could be seen in the binary.
var keptSettings = []string{"GOPROXY", "GOSUMDB", "GONOSUMDB", "GONOPROXY", "GOPRIVATE",
	"GOINSECURE", "GOMODCACHE", "GOCACHE", "GOAUTH"}

// findToolchain finds the version of Go that go.mod names. The go command downloads it if this
// machine has another one.
func findToolchain(ctx context.Context, root string) (t toolchain, err error) {
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return t, err
	}
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) == 2 && words[0] == "go" {
			t.version = "go" + words[1]
		}
	}
	if t.version == "" {
		return t, fmt.Errorf("go.mod names no version of Go")
	}
	cmd := exec.CommandContext(ctx, "go", append([]string{"env", "-json"}, keptSettings...)...)
	cmd.Dir = root
	data, err := output(cmd)
	if err != nil {
		return t, err
	}
	var settings map[string]string
	if err := json.Unmarshal(data, &settings); err != nil {
		return t, fmt.Errorf("go env: %w", err)
	}
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); !strings.HasPrefix(name, "GO") && name != "CGO_ENABLED" {
			t.env = append(t.env, kv)
		}
	}
	for name, value := range settings {
		if value != "" {
			t.env = append(t.env, name+"="+value)
		}
	}
	t.env = append(t.env, "GOENV=off", "GOWORK=off", "GOTOOLCHAIN="+t.version, "GOFLAGS=-mod=readonly",
		"CGO_ENABLED=0", "GOAMD64=v1", "GOARM64=v8.0")
	out, err := t.run(ctx, root, target{runtime.GOOS, runtime.GOARCH}, "env", "GOROOT")
	t.root = strings.TrimSpace(string(out))
	return t, err
}

// run runs the go command for a target.
func (t toolchain) run(ctx context.Context, dir string, to target, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(t.env[:len(t.env):len(t.env)], "GOOS="+to.os, "GOARCH="+to.arch)
	return output(cmd)
}

// binary is the program for one target.
type binary struct {
	target
	path string
	info *buildinfo.BuildInfo
}

// compile compiles the binaries, and holds what is written in them against the release.
func (r *release) compile(ctx context.Context) error {
	for _, t := range targets {
		b := binary{target: t, path: r.path("-" + t.String())}
		_, err := r.tools.run(ctx, r.tree(), t, "build", "-trimpath", "-buildvcs=true",
			"-ldflags=-s -w", "-o", b.path, "./cmd/buildsys")
		if err != nil {
			return err
		}
		if b.info, err = buildinfo.ReadFile(b.path); err != nil {
			return err
		}
		settings := map[string]string{}
		for _, s := range b.info.Settings {
			settings[s.Key] = s.Value
		}
		if b.info.Main.Version != "v"+r.version || b.info.GoVersion != r.tools.version ||
			settings["vcs.revision"] != r.commit || settings["vcs.modified"] != "false" {
			return fmt.Errorf("the binary for %s says that it is %s of %s (modified: %s), made by %s",
				t, b.info.Main.Version, settings["vcs.revision"], settings["vcs.modified"],
				b.info.GoVersion)
		}
		r.built = append(r.built, b)
	}
	return nil
}

// onLinux returns the binaries that packages and images are made of.
func (r *release) onLinux() []binary {
	return slices.DeleteFunc(slices.Clone(r.built), func(b binary) bool { return b.os != "linux" })
}

// documents are what the program writes about itself.
type documents struct {
	manuals     []entry           // names such as "buildsys-plan.1"
	completions map[string][]byte // by shell
}

// document runs the binary for this machine, in a directory without a tree and without settings.
func (r *release) document(ctx context.Context) error {
	here := target{runtime.GOOS, runtime.GOARCH}
	own := r.path("-" + here.String())
	if _, err := os.Stat(own); err != nil {
		return fmt.Errorf("no binary of the release runs on this machine (%s)", here)
	}
	home := filepath.Join(r.work, "home")
	pages := filepath.Join(home, "pages")
	if err := os.MkdirAll(home, 0o755); err != nil {
		return err
	}
	run := func(args ...string) ([]byte, error) {
		cmd := exec.CommandContext(ctx, own, args...)
		cmd.Dir, cmd.Env = home, []string{"HOME=" + home, "PATH=/usr/bin:/bin", "TZ=UTC"}
		return output(cmd)
	}
	if _, err := run("man", pages); err != nil {
		return err
	}
	names, err := listing(pages)
	if err != nil {
		return err
	}
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(pages, name))
		if err != nil {
			return err
		}
		r.texts.manuals = append(r.texts.manuals, file(name, data))
	}
	r.texts.completions = map[string][]byte{}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if r.texts.completions[shell], err = run("completion", shell); err != nil {
			return err
		}
	}
	return nil
}
