// bill: writes the bills of materials of images and kits, among the outputs of their steps. They
// say what the RPMs say and what the plan says of the sources, and nothing of this machine.

package build

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"buildsys"
	"buildsys/internal/atomicfile"
	"buildsys/internal/builddir"
	"buildsys/internal/confined"
	"buildsys/internal/contents"
	"buildsys/internal/crates"
	"buildsys/internal/ctxio"
	"buildsys/internal/image"
	"buildsys/internal/plan"
	"buildsys/internal/rpm"
	"buildsys/internal/safetext"
	"buildsys/internal/sbom"
)

const (
	inventoryName = "application-inventory.json"
	maxInventory  = 16 << 20
	maxBill       = 256 << 20
	tagEpoch      = 1003
	// maxBeside bounds a file beside a spec. Sources that are as large are fetched.
	maxBeside = 1 << 30
	// maxTexts bounds the texts of licences of a document: crates and modules have thousands. Files
	// after that are listed without their text.
	maxTexts = 8 << 20
)

// writeBill writes the bills of materials of a step that has one into its outputs, which are in
// dir.
func writeBill(ctx context.Context, solve plan.Solve, step plan.Step, dir string) error {
	if step.Bill == nil {
		return nil
	}
	if len(step.Bill.Copy) > 0 {
		return copyBills(step, dir)
	}
	w := billWriter{ctx: ctx, step: step, texts: maxTexts, packages: map[string]string{}}
	doc, err := w.document(solve, dir)
	if err != nil {
		return err
	}
	for name, form := range map[string]func() ([]byte, error){
		sbom.SPDXName: doc.SPDX, sbom.CycloneDXName: doc.CycloneDX,
	} {
		text, err := form()
		if err == nil {
			// What the build has left under that name is replaced, and never followed.
			err = atomicfile.Replace(filepath.Join(dir, name), text, 0o644)
		}
		if err != nil {
			return w.fault("write the bill of materials", err)
		}
	}
	return nil
}

// copyBills copies the documents of an earlier image.
func copyBills(step plan.Step, dir string) error {
	for _, f := range step.Bill.Copy {
		text, err := confined.Path{Name: f.Host}.Read(maxBill)
		if err == nil {
			err = atomicfile.Replace(filepath.Join(dir, f.Name), text, 0o644)
		}
		if err != nil {
			return &builddir.HostError{Step: step.ID, Doing: "copy the bill of materials", Err: err}
		}
	}
	return nil
}

// billWriter collects a bill of materials.
type billWriter struct {
	ctx   context.Context
	step  plan.Step
	texts int // bytes of texts of licences that are still taken
	// packages are those of the tree, by the names of source RPMs.
	packages map[string]string
}

func (w *billWriter) fault(doing string, err error) error {
	if w.ctx.Err() != nil {
		return context.Cause(w.ctx)
	}
	return &builddir.HostError{Step: w.step.ID, Doing: doing, Err: err}
}

// found is an RPM that may be in an image.
type found struct {
	at   confined.Path
	kit  string // that it came with; empty for one of the tree
	pkg  string // the package of the tree that made it
	head rpm.Header
}

func (f found) first(tag int) string { return f.head.First(tag) }

func (w *billWriter) document(solve plan.Solve, dir string) (sbom.Document, error) {
	b := w.step.Bill
	d := sbom.Document{Kind: sbom.Image, Name: b.Name, Version: b.Version,
		Supplier: safetext.Line(b.Supplier), Created: time.Unix(buildsys.Epoch, 0)}
	var all []found
	var err error
	if w.step.Kind == plan.Kit {
		d.Kind = sbom.Kit
		all, err = w.inKit(dir)
	} else {
		all, err = w.inImage(&d, solve, dir)
	}
	if err != nil {
		return d, err
	}
	d.OS = prefixOf(all)
	for _, f := range all {
		p, err := w.read(f)
		if err != nil {
			return d, err
		}
		d.Packages = append(d.Packages, p)
	}
	return d, w.sources(&d)
}

// inKit returns the RPMs of a kit, whose repository is in dir.
func (w *billWriter) inKit(dir string) ([]found, error) {
	root, err := confined.OpenDir(dir)
	if err != nil {
		return nil, w.fault("read the outputs", err)
	}
	defer root.Close()
	files, err := confined.Glob(root.FS(), "Packages/*/*.rpm")
	if err != nil {
		return nil, w.fault("read the outputs", err)
	}
	var all []found
	for _, name := range files {
		f, err := w.look(confined.Path{Root: dir, Name: filepath.FromSlash(name)}, "")
		if err != nil {
			return nil, err
		}
		f.pkg = path.Base(path.Dir(name))
		all = append(all, f)
	}
	return all, nil
}

// look reads the header of an RPM.
func (w *billWriter) look(at confined.Path, kit string) (found, error) {
	file, err := at.Open()
	if err != nil {
		return found{}, w.fault("read an RPM", err)
	}
	defer file.Close()
	head, err := rpm.Read(ctxio.NewReader(w.ctx, file), tagName, tagVersion, tagRelease, tagArch)
	if err != nil {
		return found{}, w.fault("read the RPM "+filepath.Base(at.Name), err)
	}
	return found{at: at, kit: kit, head: head}, nil
}

// inImage returns the RPMs that the inventory of an image lists. Those that the build has made
// itself it adds to d as they are.
func (w *billWriter) inImage(d *sbom.Document, solve plan.Solve, dir string) ([]found, error) {
	bad := func(format string, args ...any) error {
		return &builddir.OutputError{Step: w.step.ID, Path: inventoryName,
			Reason: fmt.Sprintf(format, args...)}
	}
	text, err := confined.Path{Root: dir, Name: inventoryName}.Read(maxInventory)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, bad("the build did not make it")
	case err != nil:
		return nil, bad("%v", err)
	}
	packages, err := image.ParseInventory(text)
	if err != nil {
		return nil, bad("%v", err)
	}
	seen, err := w.seen(solve)
	if err != nil {
		return nil, err
	}
	var all []found
	prefix := prefixOf(seen) + "-"
	for _, p := range packages {
		switch fits := match(seen, prefix, p); {
		case len(fits) == 1:
			all = append(all, fits[0])
		case len(fits) > 1:
			return nil, bad("it lists %.200q, which may be the RPM %.200q as well as %.200q: give one of "+
				"them another release", fileOf(p), fits[0].first(tagName), fits[1].first(tagName))
		case madeByImage(p):
			d.Packages = append(d.Packages, sbom.Package{Name: safetext.Line(p.Name), Version: p.Version,
				Release: p.Release, Arch: p.Architecture, Publisher: d.Supplier,
				Summary: "What the image is, for other packages' conditions"})
		default:
			return nil, bad("it lists %.200q, and the build saw no such RPM", fileOf(p))
		}
	}
	return all, nil
}

// madeByImage is isMetadata also for the inventories of trees for Twoliter, which leave the prefix
// of the OS in names.
func madeByImage(p image.Package) bool {
	short := p
	_, short.Name, _ = strings.Cut(p.Name, "-")
	return isMetadata(p) || isMetadata(short)
}

// seen returns the RPMs that a build sees, those of the tree before those of kits.
func (w *billWriter) seen(solve plan.Solve) ([]found, error) {
	c := solve.Contexts["rpms"]
	var all []found
	for _, dir := range slices.Concat(c.Dirs, c.Derived) {
		kit := ""
		if words := strings.Split(dir.Name, "/"); words[0] == "kits" && len(words) == 4 {
			kit = words[2]
		}
		entries, err := confined.List(dir.Host)
		if err != nil {
			return nil, w.fault("read the RPMs", err)
		}
		for _, e := range entries {
			if !e.Type().IsRegular() || !strings.HasSuffix(e.Name(), ".rpm") {
				continue
			}
			f, err := w.look(confined.Path{Root: dir.Host, Name: e.Name()}, kit)
			if err != nil {
				return nil, err
			}
			if kit == "" {
				f.pkg = dir.Name
			}
			all = append(all, f)
		}
	}
	return all, nil
}

// match returns the RPM of a package in an inventory, which leaves the prefix of the OS out of
// names: it is the one with that prefix, or of that name, or the one with the shortest other
// prefix. Where both of the first are there, the inventory may mean either, and match returns both:
// a kit must not hide what the tree has made.
func match(seen []found, prefix string, p image.Package) []found {
	var exact, prefixed, others []found
	for _, f := range seen {
		name := f.first(tagName)
		if f.first(tagVersion) != p.Version || f.first(tagRelease) != p.Release ||
			f.first(tagArch) != p.Architecture {
			continue
		}
		switch {
		case name == p.Name:
			exact = append(exact[:0], f)
		case name == prefix+p.Name:
			prefixed = append(prefixed[:0], f)
		case strings.HasSuffix(name, "-"+p.Name) &&
			(others == nil || len(name) < len(others[0].first(tagName))):
			others = append(others[:0], f)
		}
	}
	if len(exact)+len(prefixed) > 0 {
		return append(exact, prefixed...)
	}
	return others
}

// prefixOf returns what most names of RPMs begin with, to the first hyphen: the ID of the OS.
func prefixOf(all []found) string {
	count, best := map[string]int{}, ""
	for _, f := range all {
		word, _, ok := strings.Cut(f.first(tagName), "-")
		if !ok {
			continue
		}
		count[word]++
		if n := count[word]; best == "" || n > count[best] || n == count[best] && word < best {
			best = word
		}
	}
	return best
}

// read reads an RPM whole.
func (w *billWriter) read(f found) (sbom.Package, error) {
	name := filepath.Base(f.at.Name)
	file, err := f.at.Open()
	if err != nil {
		return sbom.Package{}, w.fault("read an RPM", err)
	}
	defer file.Close()
	sum := sha256.New()
	in := io.TeeReader(ctxio.NewReader(w.ctx, file), sum)
	info, head, c, err := rpm.ReadContents(in)
	if err == nil {
		_, err = io.Copy(io.Discard, in)
	}
	if err != nil {
		return sbom.Package{}, w.fault("read the RPM "+name, err)
	}
	text := func(tag int) string { return safetext.Line(head.First(tag)) }
	p := sbom.Package{Name: info.Name, Version: info.Version, Release: info.Release, Arch: info.Arch,
		Epoch: text(tagEpoch), Summary: text(tagSummary), License: text(tagLicense),
		URL: text(tagURL), SourceRPM: info.Source, SHA256: hex.EncodeToString(sum.Sum(nil)),
		Publisher: safetext.Line(w.step.Bill.Supplier)}
	if f.kit != "" {
		p.Publisher = f.kit
	}
	if f.pkg != "" {
		w.packages[p.SourceRPM] = f.pkg
	}
	p.Files = w.files(info, c)
	p.Modules = goModules(c.Programs)
	return p, nil
}

// files returns the regular files of an RPM.
func (w *billWriter) files(info rpm.Info, c rpm.Contents) []sbom.File {
	var files []sbom.File
	for _, one := range info.Files {
		if one.Mode&image.ModeType != image.ModeRegular || one.Ghost {
			continue
		}
		files = append(files, sbom.File{Path: contents.InImage(one.Path), SHA1: c.SHA1[one.SHA256],
			SHA256: one.SHA256})
	}
	slices.SortFunc(files, func(a, b sbom.File) int { return strings.Compare(a.Path, b.Path) })
	for i, one := range files {
		if text := c.Texts[one.SHA256]; text != "" && len(text) <= w.texts {
			files[i].License = strings.ToValidUTF8(text, "\ufffd")
			w.texts -= len(text)
		}
	}
	return files
}

// goModules returns the Go modules in programs, but for those of the tree itself, which have no
// version.
func goModules(programs []*debug.BuildInfo) (all []sbom.Module) {
	for _, program := range programs {
		all = append(all, sbom.Module{Type: sbom.GoModule, Name: "std",
			Version: strings.TrimPrefix(safetext.Line(program.GoVersion), "go")})
		for _, m := range program.Deps {
			if m.Replace != nil {
				m = m.Replace
			}
			if m.Version != "" {
				all = append(all, sbom.Module{Type: sbom.GoModule, Name: safetext.Line(m.Path),
					Version: safetext.Line(m.Version), Sum: safetext.Line(m.Sum)})
			}
		}
	}
	return all
}

// sources adds the source packages of the RPMs.
func (w *billWriter) sources(d *sbom.Document) error {
	of := map[string]plan.BillSource{}
	for _, s := range w.step.Bill.Sources {
		of[s.Package] = s
	}
	seen := map[string]bool{}
	for _, p := range d.Packages {
		name, version, release, ok := sbom.ParseSourceRPM(p.SourceRPM)
		if !ok || seen[p.SourceRPM] {
			continue
		}
		seen[p.SourceRPM] = true
		s := sbom.Source{Name: name, Version: version, Release: release}
		if known, ok := of[w.packages[p.SourceRPM]]; ok {
			if err := w.source(&s, known); err != nil {
				return err
			}
		}
		d.Sources = append(d.Sources, s)
	}
	return nil
}

// source adds what a package of the tree is built from.
func (w *billWriter) source(s *sbom.Source, known plan.BillSource) error {
	s.Package, s.Groups = known.Package, known.Groups
	for _, a := range known.Archives {
		s.Archives = append(s.Archives, sbom.Archive(a))
	}
	for _, f := range known.Files {
		one, err := w.beside(f)
		if err != nil {
			return err
		}
		s.Files = append(s.Files, one)
	}
	list := known.Crates
	for _, v := range known.Vendored {
		more, err := crates.Read(w.ctx, v.Host, v.Root)
		if err != nil {
			return w.fault("read the crates of "+path.Base(v.Host), err)
		}
		list = slices.Concat(list, more)
	}
	for _, c := range list {
		s.Modules = append(s.Modules, sbom.Module{Type: sbom.Crate, Name: c.Name, Version: c.Version,
			Sum: c.SHA256})
	}
	return nil
}

// beside hashes a file beside a spec.
func (w *billWriter) beside(f plan.File) (sbom.File, error) {
	one, two := sha1.New(), sha256.New()
	if f.Host == "" {
		one.Write(f.Data)
		two.Write(f.Data)
	} else {
		file, err := confined.Path{Name: f.Host}.Open()
		if err != nil {
			return sbom.File{}, w.fault("read "+f.Name, err)
		}
		defer file.Close()
		in := io.LimitReader(ctxio.NewReader(w.ctx, file), maxBeside+1)
		n, err := io.Copy(io.MultiWriter(one, two), in)
		if err == nil && n > maxBeside {
			err = fmt.Errorf("it has more than %d MiB", maxBeside>>20)
		}
		if err != nil {
			return sbom.File{}, w.fault("read "+f.Name, err)
		}
	}
	return sbom.File{Path: f.Name, SHA1: hex.EncodeToString(one.Sum(nil)),
		SHA256: hex.EncodeToString(two.Sum(nil))}, nil
}
