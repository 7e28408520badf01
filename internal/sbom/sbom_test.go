package sbom_test

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/CycloneDX/cyclonedx-go"
	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdxlib"

	"buildsys/internal/buildtest/bound"
	"buildsys/internal/golden"
	"buildsys/internal/sbom"
)

func file(path, data string) sbom.File {
	one, two := sha1.Sum([]byte(data)), sha256.Sum256([]byte(data))
	return sbom.File{Path: path, SHA1: hex.EncodeToString(one[:]), SHA256: hex.EncodeToString(two[:])}
}

func licensed(path, text string) sbom.File {
	f := file(path, text)
	f.License = text
	return f
}

func archive(name, url string) sbom.Archive {
	sum := sha512.Sum512([]byte(name))
	return sbom.Archive{Name: name, URL: url, SHA512: hex.EncodeToString(sum[:])}
}

// example has each thing that a document can have.
func example() sbom.Document {
	kernel := sbom.Package{Name: "os-kernel", Epoch: "2", Version: "6.1.5", Release: "1",
		Arch: "x86_64", Summary: "The kernel", License: "GPL-2.0-only WITH Linux-syscall-note",
		URL: "https://kernel.org/", Publisher: "core-kit", SourceRPM: "os-kernel-6.1.5-1.src.rpm",
		SHA256: strings.Repeat("ab", 32), Files: []sbom.File{
			licensed("/usr/share/licenses/kernel/COPYING", "the text\n"), file("/boot/vmlinuz", "kernel")}}
	agent := sbom.Package{Name: "os-agent", Version: "1.0~rc1", Release: "3.dist", Arch: "x86_64",
		Summary: "An <agent> & more", License: "ASL 2.0 and others", Publisher: "Example",
		SourceRPM: "os-agent-1.0~rc1-3.dist.src.rpm", Files: []sbom.File{file("/usr/bin/agent ü", "ELF"),
			licensed("/usr/share/licenses/agent/COPYING", "the text\n")},
		Modules: []sbom.Module{
			{Type: sbom.GoModule, Name: "golang.org/x/sys", Version: "v0.48.0", Sum: "h1:abc="},
			{Type: sbom.GoModule, Name: "std", Version: "go1.26"}}}
	none := sbom.Package{Name: "metadata", Version: "1.0", Release: "1", Arch: "noarch",
		Publisher: "Example"}
	return sbom.Document{Kind: sbom.Image, Name: "os-dev-x86_64-1.2-abc", Version: "1.2", OS: "os",
		Supplier: "Example", Created: time.Unix(1700000000, 0).UTC(),
		Packages: []sbom.Package{none, kernel, agent},
		Sources: []sbom.Source{
			{Name: "os-kernel", Version: "6.1.5", Release: "1", Package: "kernel-6.1",
				Archives: []sbom.Archive{archive("linux.tar.xz", "https://kernel.org/linux.tar.xz"),
					archive("local.tar", "file:///x")},
				Files: []sbom.File{file("fix.patch", "--- a\n"), file("config", "CONFIG_X=y\n")}},
			{Name: "os-agent", Version: "1.0~rc1", Release: "3.dist", Package: "agent",
				Groups: []string{"agent"}, Modules: []sbom.Module{{Type: sbom.Crate, Name: "libc",
					Version: "0.2.1", Sum: strings.Repeat("cd", 32)}}},
		}}
}

func render(t *testing.T, d sbom.Document) (spdx, cdx []byte) {
	t.Helper()
	spdx, err := d.SPDX()
	if err != nil {
		t.Fatal(err)
	}
	if cdx, err = d.CycloneDX(); err != nil {
		t.Fatal(err)
	}
	return spdx, cdx
}

func TestGolden(t *testing.T) {
	spdx, cdx := render(t, example())
	golden.Equal(t, "testdata/example.spdx.json", spdx)
	golden.Equal(t, "testdata/example.cdx.json", cdx)
}

// The order in which parts are known changes nothing, nor does what is known twice.
func TestSameBytesInAnyOrder(t *testing.T) {
	spdx, cdx := render(t, example())
	d := example()
	slices.Reverse(d.Packages)
	slices.Reverse(d.Sources)
	for _, p := range d.Packages {
		slices.Reverse(p.Files)
		slices.Reverse(p.Modules)
	}
	for i, s := range d.Sources {
		slices.Reverse(s.Files)
		d.Sources[i].Archives = append(s.Archives, s.Archives...)
		slices.Reverse(d.Sources[i].Archives)
	}
	again, cdxAgain := render(t, d)
	if !bytes.Equal(spdx, again) || !bytes.Equal(cdx, cdxAgain) {
		t.Error("the order of the parts changes the bytes")
	}
	d.Packages[0].Files[0].SHA256 = strings.Repeat("00", 32)
	other, _ := render(t, d)
	name := func(text []byte) string {
		_, rest, _ := strings.Cut(string(text), "documentNamespace")
		line, _, _ := strings.Cut(rest, "\n")
		return line
	}
	if name(other) == name(spdx) {
		t.Error("two documents have one name")
	}
}

// The libraries read what they have written, and find nothing wrong.
func TestLibrariesRead(t *testing.T) {
	spdx, cdx := render(t, example())
	doc, err := spdxjson.Read(bytes.NewReader(spdx))
	if err != nil {
		t.Fatal(err)
	}
	if err := spdxlib.ValidateDocument(doc); err != nil {
		t.Error(err)
	}
	if len(doc.Files) != 6 || len(doc.OtherLicenses) != 2 {
		t.Errorf("%d files, %d licences", len(doc.Files), len(doc.OtherLicenses))
	}
	bom := new(cyclonedx.BOM)
	if err := cyclonedx.NewBOMDecoder(bytes.NewReader(cdx), cyclonedx.BOMFileFormatJSON).
		Decode(bom); err != nil {
		t.Error(err)
	}
	refs := map[string]bool{bom.Metadata.Component.BOMRef: true}
	for _, c := range *bom.Components {
		refs[c.BOMRef] = true
	}
	for _, leaf := range *bom.Dependencies {
		if !refs[leaf.Ref] {
			t.Errorf("%s is no component", leaf.Ref)
		}
		if leaf.Dependencies == nil {
			continue
		}
		for _, to := range *leaf.Dependencies {
			if !refs[to] {
				t.Errorf("%s leads to %s, which is no component", leaf.Ref, to)
			}
		}
	}
}

func TestReadBack(t *testing.T) {
	spdx, _ := render(t, example())
	d, err := sbom.Read(bytes.NewReader(spdx))
	if err != nil {
		t.Fatal(err)
	}
	want := example()
	want.Sources[0].Archives[1].URL = "" // no address of the web
	again, _ := render(t, d)
	written, _ := render(t, want)
	if !bytes.Equal(again, written) {
		t.Errorf("read back, it is\n%s", again)
	}
	slices.SortFunc(want.Packages, func(a, b sbom.Package) int {
		return strings.Compare(a.Name, b.Name)
	})
	for i := range want.Packages {
		if a, b := d.Packages[i], want.Packages[i]; a.NEVRA() != b.NEVRA() ||
			len(a.Files) != len(b.Files) || a.License != b.License || a.SourceRPM != b.SourceRPM {
			t.Errorf("got %+v, want %+v", a, b)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	spdx, _ := render(t, example())
	for name, tt := range map[string]struct{ old, new, want string }{
		"another tool": {"Tool: buildsys-sbom-1", "Tool: syft-1.0", "buildsys has not written it"},
		"another form": {"SPDX-2.3", "SPDX-2.2", "no SPDX 2.3"},
		"no JSON":      {`"packages"`, `packages`, "invalid character"},
		"deep": {`"packages": [`, `"x": ` + strings.Repeat("[", 30) + strings.Repeat("]", 30) +
			`, "packages": [`, "levels"},
		"no hash":        {`"SHA1"`, `"MD5"`, "has no SHA1"},
		"a bad hash":     {strings.Repeat("ab", 32), "zz", "is no SHA256"},
		"control":        {"The kernel", `The \u001b[2Jkernel`, "control characters"},
		"no purl":        {"pkg:rpm/os/os-kernel@", "os-kernel@", "purl"},
		"another name":   {"pkg:rpm/os/os-kernel@", "pkg:rpm/os/os-other@", "none of an RPM"},
		"not its kind":   {"SPDXRef-Whole-image", "SPDXRef-Whole-other", "neither"},
		"a path upwards": {`"./boot/vmlinuz"`, `"boot/vmlinuz"`, "has no name"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.ReplaceAll(string(spdx), tt.old, tt.new)
			if text == string(spdx) {
				t.Fatal("nothing is changed")
			}
			_, err := sbom.Read(strings.NewReader(text))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the error is %v, want %q", err, tt.want)
			}
		})
	}
}

func TestCompare(t *testing.T) {
	before, after := example(), example()
	if d := sbom.Compare(before, after); !d.Same() {
		t.Errorf("a document differs from itself: %+v", d)
	}
	after.Packages = after.Packages[1:] // no metadata
	after.Packages[0].Version, after.Packages[0].License = "6.1.6", "MIT"
	after.Packages[0].Files = []sbom.File{file("/boot/vmlinuz", "other"), file("/new", "")}
	after.Packages[1].Modules[0].Version = "v0.49.0"
	after.Sources[0].Files[0] = file("fix.patch", "--- b\n")
	got := strings.Join(sbom.Compare(before, after).Lines(), "\n")
	golden.Equal(t, "testdata/diff.txt", []byte(got+"\n"))
}

func TestSourceNames(t *testing.T) {
	for file, want := range map[string][]string{
		"os-a-b-1.0-2.fc.src.rpm": {"os-a-b", "1.0", "2.fc"}, "a-1-1.nosrc.rpm": {"a", "1", "1"},
		"a-1.src.rpm": nil, "a-1-1.x86_64.rpm": nil, "-1-1.src.rpm": nil, "": nil,
	} {
		name, version, release, ok := sbom.ParseSourceRPM(file)
		got := []string{name, version, release}
		if ok != (want != nil) || ok && !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q", file, got)
		}
	}
}

// TestReadBombs: what takes more memory or time than it has bytes.
func TestReadBombs(t *testing.T) {
	spdx, _ := render(t, example())
	const file = "SPDXRef-File-"
	id := string(spdx[bytes.Index(spdx, []byte(file)):])
	id = id[:strings.IndexByte(id, '"')]
	named := strings.Repeat(`{"spdxElementId": "SPDXRef-RPM-os-kernel-6.1-1.x86_64", "relatedSpdxElement": `+
		`"`+id+`", "relationshipType": "CONTAINS"},`, 100_000)
	text := strings.Repeat("x", 1<<20)
	for name, tt := range map[string]struct {
		old, new string
		memory   uint64
	}{
		"many relations": {`"relationships": [`, `"relationships": [` +
			strings.Repeat("{},", 6_100_000), 150 << 20},
		"many packages": {`"packages": [`, `"packages": [` + strings.Repeat("{},", 300_000), 50 << 20},
		"many names": {`"licenseInfoInFiles": [`, `"licenseInfoInFiles": [` +
			strings.Repeat(`"",`, 12_100_000), 250 << 20},
		"texts joined": {`"licenseInfoInFiles": [`, `"licenseInfoInFiles": [` +
			strings.Repeat(`"T",`, 10_000), 200 << 20},
		"long names": {`"fileName": "`, `"fileName": "./` + text, 400 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			bomb := strings.Replace(string(spdx), tt.old, tt.new, 1)
			bomb = strings.Replace(bomb, `"hasExtractedLicensingInfos": [`, `"hasExtractedLicensingInfos": [`+
				`{"licenseId": "T", "extractedText": "`+text+`"},`, 1)
			if !strings.HasPrefix(name, "many") {
				bomb = strings.Replace(bomb, `"relationships": [`, `"relationships": [`+named, 1)
			}
			bound.Work(t, tt.memory, func() { _, _ = sbom.Read(strings.NewReader(bomb)) })
		})
	}
}

func FuzzRead(f *testing.F) {
	spdx, err := example().SPDX()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(spdx)
	f.Add([]byte(`{"spdxVersion": "SPDX-2.3"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := sbom.Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		if _, err := d.SPDX(); err != nil {
			t.Error(err)
		}
		if _, err := d.CycloneDX(); err != nil {
			t.Error(err)
		}
	})
}
