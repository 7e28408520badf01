// A release in the making: its files, one step after the other, in a directory that gets its name
// when it is whole.

package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
)

// target is a system that a binary is for.
type target struct{ os, arch string }

func (t target) String() string { return t.os + "-" + t.arch }

var targets = []target{{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"},
	{"darwin", "arm64"}}

type release struct {
	source
	out    string // where its files are in the end
	report io.Writer
	signer dsse.SignerVerifier // nil: the provenance is not signed

	work  string // what is needed only meanwhile
	files string // the release's files
	tools toolchain
	built []binary
	texts documents
	legal licences
}

// name returns the name of a file of the release.
func (r *release) name(rest string) string { return "buildsys-" + r.version + rest }

// path returns the path of a file of the release.
func (r *release) path(rest string) string { return filepath.Join(r.files, r.name(rest)) }

func (r *release) say(format string, args ...any) {
	fmt.Fprintf(r.report, "release: "+format+"\n", args...)
}

// make makes all files.
func (r *release) make(ctx context.Context) (err error) {
	if _, err := os.Lstat(r.out); err == nil {
		return fmt.Errorf("%s is there already: a release is not replaced; remove it, or name "+
			"another with --output", r.out)
	}
	if err := os.MkdirAll(filepath.Dir(r.out), 0o755); err != nil {
		return err
	}
	if r.work, err = os.MkdirTemp("", "buildsys-release-"); err != nil {
		return err
	}
	defer os.RemoveAll(r.work)
	// Beside its place, so that it can be renamed.
	if r.files, err = os.MkdirTemp(filepath.Dir(r.out), ".release-"); err != nil {
		return err
	}
	defer os.RemoveAll(r.files)
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{fmt.Sprintf("%s of commit %.12s", r.version, r.commit), r.checkOut},
		{"compiling", r.compile},
		{"manual pages and completions", r.document},
		{"licences", r.collectLicences},
		{"archives", r.archives},
		{"packages", r.packages},
		{"container image", r.images},
		{"bills of materials", r.bills},
		{"notes", r.writeNotes},
		{"provenance", r.prove},
		{"checksums", func(context.Context) error { return writeSums(r.files) }},
	} {
		r.say("%s", step.what)
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	if err := os.Chmod(r.files, 0o755); err != nil {
		return err
	}
	if err := os.Rename(r.files, r.out); err != nil {
		return err
	}
	r.say("%s", r.out)
	if r.signer == nil {
		r.say("the provenance is NOT SIGNED: no key was given (--key, RELEASE_KEY)")
	}
	return nil
}

// checkOut clones the commit into a directory in which its tag is the version's, so that the go
// command writes the same version into binaries whether or not the checkout has the tag.
func (r *release) checkOut(ctx context.Context) (err error) {
	if r.tools, err = findToolchain(ctx, r.root); err != nil {
		return err
	}
	tree := r.tree()
	for _, args := range [][]string{
		{"clone", "--quiet", "--no-checkout", "--no-tags", "--template=", "-c", "core.autocrlf=false",
			"-c", "core.hooksPath=/dev/null", r.root, tree},
		{"-C", tree, "-c", "advice.detachedHead=false", "checkout", "--quiet", r.commit},
		{"-C", tree, "-c", "tag.gpgSign=false", "tag", "v" + r.version},
	} {
		if _, err := git(ctx, r.work, args...); err != nil {
			return err
		}
	}
	return nil
}

func (r *release) tree() string { return filepath.Join(r.work, "tree") }

// read returns a file of the commit.
func (r *release) read(name string) ([]byte, error) {
	return os.ReadFile(filepath.Join(r.tree(), name))
}

// writeNotes writes what the changelog says, and what the files are.
func (r *release) writeNotes(context.Context) error {
	signed := "The provenance of this release is signed (key ID " + r.keyID() + ")."
	if r.signer == nil {
		signed = "The provenance of this release is **not signed**."
	}
	text := fmt.Sprintf("# buildsys %s\n\nMade of commit %s, %s. %s\n\n%s", r.version, r.commit,
		r.date.Format("2006-01-02"), signed, r.notes)
	return os.WriteFile(r.path("-notes.md"), []byte(text), 0o644)
}

func (r *release) keyID() string {
	if r.signer == nil {
		return ""
	}
	id, _ := r.signer.KeyID() // ours has no error
	return id
}

// listing returns the names of the files in a directory, sorted.
func listing(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if !e.Type().IsRegular() {
			return nil, fmt.Errorf("%s is no regular file", filepath.Join(dir, e.Name()))
		}
		names = append(names, e.Name())
	}
	return names, err
}

// entry is a file or directory in an archive, package or image.
type entry struct {
	path string
	mode fs.FileMode
	data []byte
}

func file(path string, data []byte) entry { return entry{path, 0o644, data} }

// below returns the entries with paths below a directory.
func below(dir string, entries []entry) []entry {
	moved := make([]entry, len(entries))
	for i, e := range entries {
		moved[i] = e
		moved[i].path = strings.TrimSuffix(dir, "/") + "/" + e.path
	}
	return moved
}
