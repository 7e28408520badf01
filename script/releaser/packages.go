// Packages for Debian and for systems with RPM: the binary, manual pages, completions, documents.

package main

import (
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/goreleaser/nfpm/v2"
	"github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
	"github.com/goreleaser/nfpm/v2/rpm"
)

// maintainer is a placeholder as all addresses below .invalid: who distributes packages has one.
const maintainer = "The buildsys authors <buildsys@buildsys.invalid>"

const summary = "builds trees of RPM specs into bootable disk images"

const description = summary + `
buildsys turns a tree of RPM specs and TOML manifests, of the shape that
Bottlerocket has, into bootable Linux disk images. It runs one BuildKit build
per package, several at once, through a Docker engine or a buildkitd.`

// overrides say what lintian need not report.
const overrides = `# A Go program without cgo.
buildsys: statically-linked-binary [usr/bin/buildsys]
# The texts of its modules are as they came with them.
buildsys: copyright-file-contains-full-apache-2-license
# It is not for Debian's archive.
buildsys: initial-upload-closes-no-bugs [usr/share/doc/buildsys/changelog.Debian.gz:1]
`

// packages makes a package of both kinds for each Linux.
func (r *release) packages(context.Context) error {
	return each(r.onLinux(), func(b binary) error {
		shared, err := r.shared(b)
		if err != nil {
			return err
		}
		debian, err := r.debianOnly()
		if err != nil {
			return err
		}
		if err := r.pack(b, deb.Default, append(debian, shared...)); err != nil {
			return err
		}
		license, err := r.read("LICENSE")
		if err != nil {
			return err
		}
		return r.pack(b, rpm.DefaultRPM, append([]entry{
			file("/usr/share/zsh/site-functions/_buildsys", r.texts.completions["zsh"]),
			file("/usr/share/licenses/buildsys/LICENSE", license),
			file("/usr/share/licenses/buildsys/THIRD_PARTY_LICENSES", r.legal.text),
		}, shared...))
	})
}

// shared returns what both kinds of packages have.
func (r *release) shared(b binary) ([]entry, error) {
	program, err := os.ReadFile(b.path)
	if err != nil {
		return nil, err
	}
	readme, err := r.read("README.md")
	if err != nil {
		return nil, err
	}
	entries := []entry{
		{"/usr/bin/buildsys", 0o755, program},
		file("/usr/share/doc/buildsys/README.md", readme),
		file("/usr/share/bash-completion/completions/buildsys", r.texts.completions["bash"]),
		file("/usr/share/fish/vendor_completions.d/buildsys.fish", r.texts.completions["fish"]),
	}
	for _, page := range r.texts.manuals {
		packed, err := zip(page.data, gzip.BestCompression)
		if err != nil {
			return nil, err
		}
		entries = append(entries, file("/usr/share/man/man1/"+page.path+".gz", packed))
	}
	return entries, nil
}

// debianOnly returns what Debian's policy asks for.
func (r *release) debianOnly() ([]entry, error) {
	changelog, err := r.read("CHANGELOG.md")
	if err != nil {
		return nil, err
	}
	upstream, err := zip(changelog, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	text := fmt.Sprintf("buildsys (%s) unstable; urgency=medium\n\n"+
		"  * Release %s: changelog.gz has its changes.\n\n -- %s  %s\n", r.debianVersion(), r.version,
		maintainer, r.date.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	own, err := zip([]byte(text), gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	copyright := "buildsys is under the Apache License 2.0:\n" +
		"/usr/share/common-licenses/Apache-2.0\n\n" + string(r.legal.text)
	const doc = "/usr/share/doc/buildsys/"
	return []entry{
		file(doc+"changelog.gz", upstream), file(doc+"changelog.Debian.gz", own),
		file(doc+"copyright", []byte(copyright)),
		file("/usr/share/zsh/vendor-completions/_buildsys", r.texts.completions["zsh"]),
		file("/usr/share/lintian/overrides/buildsys", []byte(overrides)),
	}, nil
}

// packageVersion returns the version with a ~ before what comes before a release, as dpkg and rpm
// order them.
func (r *release) packageVersion() string { return strings.Replace(r.version, "-", "~", 1) }

func (r *release) debianVersion() string { return r.packageVersion() + "-1" }

// pack makes one package. nfpm takes the contents from files.
func (r *release) pack(b binary, kind nfpm.Packager, entries []entry) error {
	staged, err := os.MkdirTemp(r.work, "package-")
	if err != nil {
		return err
	}
	var contents files.Contents
	for i, e := range sorted(entries) {
		at := filepath.Join(staged, fmt.Sprint(i))
		if err := os.WriteFile(at, e.data, 0o644); err != nil {
			return err
		}
		contents = append(contents, &files.Content{Source: at, Destination: e.path,
			FileInfo: &files.ContentFileInfo{Owner: "root", Group: "root", Mode: e.mode, MTime: r.date}})
	}
	info := nfpm.WithDefaults(&nfpm.Info{
		Name: "buildsys", Arch: b.arch, Platform: b.os, Version: r.packageVersion(), Release: "1",
		VersionSchema: "none", Section: "devel", Priority: "optional", Maintainer: maintainer,
		Description: description, License: "Apache-2.0", MTime: r.date, DisableGlobbing: true,
		Overridables: nfpm.Overridables{
			Contents:   contents,
			Recommends: []string{"ca-certificates", "git"},
			RPM:        nfpm.RPM{BuildHost: "buildsys.invalid", Summary: summary},
		},
	})
	path := filepath.Join(r.files, kind.ConventionalFileName(info))
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer out.Close()
	if err := kind.Package(info, out); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return out.Close()
}
