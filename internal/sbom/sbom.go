// Package sbom writes bills of materials: what is in an image or a kit, as SPDX 2.3 and as
// CycloneDX 1.6. It reads those in SPDX back, and says how two differ. It is pure: equal documents
// give equal bytes on any machine, and nothing is looked up.
package sbom

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The names of the files beside an image, as Twoliter has them.
const (
	SPDXName      = "spdx-sbom.json"
	CycloneDXName = "cyclonedx-sbom.json"
)

// The kinds of documents.
const (
	Image = "image"
	Kit   = "kit"
)

// Document is a bill of materials.
type Document struct {
	Kind    string // Image or Kit
	Name    string // of what it describes: "skiff-qemu-dev-x86_64-0.1.0-abcdef12"
	Version string
	// OS is the ID of the operating system, as in os-release. It is the namespace of the packages'
	// URLs, and with a hyphen what names of RPMs may begin with.
	OS       string
	Supplier string
	Created  time.Time
	Packages []Package // the RPMs
	Sources  []Source  // what they were built from
}

// Package is an RPM.
type Package struct {
	Name, Version, Release, Arch string
	Epoch                        string // empty if it has none
	Summary, License, URL        string
	Publisher                    string // the kit that it came with, or who makes the OS
	SourceRPM                    string // the name of the file of its source package
	SHA256                       string // of the RPM's file; empty if there is none
	Files                        []File // regular ones, without those that it only names
	Modules                      []Module
}

// File is a regular file of an RPM, or one beside a spec.
type File struct {
	Path         string // in the image, from the root; of a source its name
	SHA1, SHA256 string
	// License is the text of a licence: set for files that the spec calls so.
	License string
}

// Source is a source package: a spec with its sources.
type Source struct {
	Name             string // of the spec, as the names of source RPMs have it
	Version, Release string
	Package          string   // the directory in packages/; empty if it is of a kit
	Groups           []string // the directories in sources/
	Archives         []Archive
	Files            []File   // patches and other files beside the spec
	Modules          []Module // what its Cargo.lock and that of its archives name
}

// Archive is a file that a manifest names.
type Archive struct {
	Name, URL, SHA512 string
}

// The types of modules, as package URLs have them.
const (
	GoModule = "golang"
	Crate    = "cargo"
)

// Module is a Go module in the programs of an RPM, or a crate.
type Module struct {
	Type, Name, Version string
	Sum                 string // of a Go module that of go.sum, of a crate its sha256
}

// NEVRA returns the name, epoch, version, release and architecture, as rpm writes them.
func (p Package) NEVRA() string { return p.Name + "-" + p.EVR() + "." + p.Arch }

// EVR returns the epoch, version and release, as rpm writes them.
func (p Package) EVR() string {
	evr := p.Version + "-" + p.Release
	if p.Epoch != "" && p.Epoch != "0" {
		evr = p.Epoch + ":" + evr
	}
	return evr
}

// IsPatch reports whether a file beside a spec is a patch.
func (f File) IsPatch() bool {
	return strings.HasSuffix(f.Path, ".patch") || strings.HasSuffix(f.Path, ".diff")
}

// ParseSourceRPM splits the name of the file of a source RPM: NAME-VERSION-RELEASE.src.rpm.
func ParseSourceRPM(file string) (name, version, release string, ok bool) {
	stem, ok := strings.CutSuffix(file, ".src.rpm")
	if !ok {
		stem, ok = strings.CutSuffix(file, ".nosrc.rpm")
	}
	words := strings.Split(stem, "-")
	n := len(words)
	if !ok || n < 3 || slices.Contains(words, "") {
		return "", "", "", false
	}
	return strings.Join(words[:n-2], "-"), words[n-2], words[n-1], true
}

// sorted returns the document with all lists in the order in which they are written, without what
// is there twice.
func (d Document) sorted() Document {
	d.Packages = slices.Clone(d.Packages)
	slices.SortStableFunc(d.Packages, func(a, b Package) int {
		return cmp.Or(strings.Compare(a.NEVRA(), b.NEVRA()), strings.Compare(a.SHA256, b.SHA256))
	})
	for i, p := range d.Packages {
		d.Packages[i].Files = sortFiles(p.Files)
		d.Packages[i].Modules = sortModules(p.Modules)
	}
	d.Sources = slices.Clone(d.Sources)
	slices.SortStableFunc(d.Sources, func(a, b Source) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Version, b.Version),
			strings.Compare(a.Release, b.Release))
	})
	for i, s := range d.Sources {
		d.Sources[i].Files = sortFiles(s.Files)
		d.Sources[i].Modules = sortModules(s.Modules)
		d.Sources[i].Archives = slices.Clone(s.Archives)
		slices.SortFunc(d.Sources[i].Archives, func(a, b Archive) int {
			return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.URL, b.URL),
				strings.Compare(a.SHA512, b.SHA512))
		})
		d.Sources[i].Archives = slices.Compact(d.Sources[i].Archives)
	}
	return d
}

func sortFiles(files []File) []File {
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return files
}

func sortModules(modules []Module) []Module {
	modules = slices.Clone(modules)
	slices.SortFunc(modules, compareModules)
	return slices.Compact(modules)
}

func compareModules(a, b Module) int {
	return cmp.Or(strings.Compare(a.Type, b.Type), strings.Compare(a.Name, b.Name),
		strings.Compare(a.Version, b.Version), strings.Compare(a.Sum, b.Sum))
}

// namespace returns the address that names the document: it differs with the contents.
func (d Document) namespace() (string, error) {
	text, err := json.Marshal(d)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return fmt.Sprintf("https://buildsys.invalid/spdx/%s-%s", notInID.ReplaceAllString(d.Name, "-"),
		hex.EncodeToString(sum[:])), nil
}

// sourceOf returns the source package that an RPM was built from.
func (d Document) sourceOf(p Package) (Source, bool) {
	name, version, release, ok := ParseSourceRPM(p.SourceRPM)
	if !ok {
		return Source{}, false
	}
	i := slices.IndexFunc(d.Sources, func(s Source) bool {
		return s.Name == name && s.Version == version && s.Release == release
	})
	if i < 0 {
		return Source{}, false
	}
	return d.Sources[i], true
}

// modules returns all modules of a document, each once.
func (d Document) modules() []Module {
	var all []Module
	for _, p := range d.Packages {
		all = append(all, p.Modules...)
	}
	for _, s := range d.Sources {
		all = append(all, s.Modules...)
	}
	return sortModules(all)
}
