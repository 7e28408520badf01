// What is measured.

package loopbench

import (
	"context"
	"errors"
	"os"
	"path/filepath"
)

const variant = "qemu-dev"

// firstParty is an edit of a program that belongs to the tree itself.
var firstParty = edit{"sources/skiff/cmd/skiffd/main.go", "usage: skiffd boot|power",
	"usage NUMBER: skiffd boot|power"}

// loop measures the image of the sample OS, once what it needs is there.
func loop(ctx context.Context, s *scene) error {
	cases := []struct {
		name  string
		edit  edit
		cache string
		args  []string
	}{
		{"nothing changed", none, "own", []string{"build-variant", variant}},
		{"first-party code, image", firstParty, "own", []string{"build-variant", variant}},
		{"first-party code, booted and shut down", firstParty, "own",
			[]string{"boot", "--dev", "--check", variant}},
		{"a machine with a remote cache", none, "fresh",
			[]string{"build-variant", variant, "--cache-from", s.place}},
	}
	prepared := false
	for _, c := range cases {
		name := variant + ", " + c.name
		if s.Cases != nil && !s.Cases.MatchString(name) {
			continue
		}
		if !prepared {
			if err := s.prepare(ctx); err != nil {
				return err
			}
			prepared = true
		}
		if err := s.change(ctx, c.edit); err != nil {
			return err
		}
		if c.cache != "own" {
			if err := os.RemoveAll(filepath.Join(s.tree, "build")); err != nil {
				return err
			}
		}
		if err := s.measure(ctx, name, c.cache, c.args...); err != nil {
			return err
		}
	}
	return nil
}

// prepare gets the image in place, and everything that it needs into the remote cache.
func (s *scene) prepare(ctx context.Context) error {
	if _, err := s.build(ctx, "", "build-variant", variant, "--cache-to", s.place); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(s.tree, "build")); err != nil {
		return err
	}
	if _, err := s.build(ctx, "own", "build-variant", variant, "--cache-from", s.place); err != nil {
		return err
	}
	// What compilers make of first-party code is known from the second time on.
	if err := s.change(ctx, firstParty); err != nil {
		return err
	}
	if _, err := s.build(ctx, "own", "build-variant", "--dev", variant); err != nil {
		return err
	}
	if err := s.change(ctx, none); err != nil {
		return err
	}
	_, err := s.build(ctx, "own", "build-variant", variant)
	return err
}

// subject is a package with edits of it; there is none of what it does not have.
type subject struct {
	name                 string
	code, header, config edit
}

// appended is an edit that has %prep append a line to a file of the source.
func appended(pkg, file, line string) edit {
	return edit{"packages/" + pkg + "/" + pkg + ".spec", "\n%build\n",
		"\necho '" + line + "' >>" + file + "\n\n%build\n"}
}

const (
	code   = "int bench_NUMBER;"
	header = "extern int bench_NUMBER;"
)

var subjects = []subject{
	{"kernel", appended("kernel", "kernel/sched/core.c", code),
		appended("kernel", "include/linux/sched.h", header),
		edit{"packages/kernel/config-virt", "CONFIG_NO_HZ_IDLE=y\n", "CONFIG_HZ_PERIODIC=y\n"}},
	{"musl", appended("musl", "src/string/strlen.c", code),
		appended("musl", "include/features.h", header),
		edit{"packages/musl/musl.spec", "  --disable-gcc-wrapper\n",
			"  --disable-gcc-wrapper --enable-optimize=size\n"}},
	{"busybox", appended("busybox", "coreutils/cat.c", code),
		appended("busybox", "include/libbb.h", header),
		edit{"packages/busybox/busybox.config", "CONFIG_FEATURE_FANCY_ECHO=y\n", ""}},
	{"ncurses", appended("ncurses", "ncurses/base/lib_addch.c", code),
		appended("ncurses", "ncurses/curses.priv.h", header),
		edit{"packages/ncurses/ncurses.spec", "  --without-tests\n",
			"  --without-tests --disable-home-terminfo\n"}},
	{"os", firstParty, none,
		edit{"packages/os/os.spec", "build %{cross_go_ldflags}",
			"build -tags bench %{cross_go_ldflags}"}},
}

// packages measures what compilers have to do again: without, with what this machine has kept, and
// with what a remote cache has. Without, every edit costs what nothing known costs.
func packages(ctx context.Context, s *scene) error {
	var errs []error
	for _, p := range subjects {
		if s.Packages == nil || s.Packages.MatchString(p.name) {
			errs = append(errs, s.compile(ctx, p))
		}
	}
	return errors.Join(errs...)
}

// compile measures one package.
func (s *scene) compile(ctx context.Context, p subject) error {
	if err := s.change(ctx, none); err != nil {
		return err
	}
	// What it needs, so that no way below builds it.
	if _, err := s.build(ctx, "", "build-package", p.name, "--cache-to", s.place); err != nil {
		return err
	}
	build := func(way, cache, what string, e edit, args ...string) error {
		if err := s.change(ctx, e); err != nil {
			return err
		}
		if err := s.again(p.name); err != nil {
			return err
		}
		return s.measure(ctx, p.name+", "+what+", "+way, cache, append([]string{"build-package", p.name,
			"--cache-from", s.place, "--cache-audit=0", "--trust-tree"}, args...)...)
	}
	local, remote := p.name+"-local", p.name+"-remote"
	err := build("without", p.name+"-without", "cold", none, "--compile-cache=off")
	if err == nil {
		err = build("local", local, "cold", none, "--compile-cache=on", "--cache-to", s.place)
	}
	for _, c := range []struct {
		what string
		edit edit
	}{{"one file", p.code}, {"a header", p.header}, {"configuration", p.config}} {
		if err != nil || c.edit == none {
			continue
		}
		if err = build("local", local, c.what, c.edit, "--compile-cache=on"); err == nil {
			err = build("remote", remote, c.what, c.edit, "--compile-cache=on")
		}
		err = errors.Join(err, os.RemoveAll(filepath.Join(s.Work, remote)))
	}
	return err
}
