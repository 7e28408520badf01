// auditmodules: the Go modules and crates of first-party code and of archives, for an audit.

package build

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"buildsys/internal/archive"
	"buildsys/internal/audit"
	"buildsys/internal/confined"
	"buildsys/internal/crates"
	"buildsys/internal/gomod"
	"buildsys/internal/manifest"
	"buildsys/internal/osv"
	"buildsys/internal/plan"
	"buildsys/internal/safetext"
)

// archive adds the modules or crates that are bundled from an archive, if it has been fetched.
func (g *gathering) archive(ctx context.Context, name string, f manifest.ExternalFile) {
	at := g.s.sources(g.s.out).Path(f)
	wanted := archive.Wanted{Root: f.BundleRoot, Names: []string{"go.mod", "go.sum"},
		Max: gomod.MaxText, Of: "the Go module"}
	if f.BundleRust {
		wanted = archive.Wanted{Root: f.BundleRoot, Names: []string{"Cargo.lock"}, Max: crates.MaxLock,
			Of: "Cargo.lock"}
	}
	what := name + ": " + f.Name()
	found, err := archive.Find(ctx, at, wanted)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		g.report.Note("the modules in an archive are not known before buildsys fetch", what)
		return
	case err != nil:
		g.report.Note("the modules in an archive cannot be read: "+safetext.Line(err.Error()), what)
		return
	}
	of := named{of: name, file: g.ws.Packages[name].File, line: f.Line}
	if f.BundleRust {
		g.crates(of, path.Join(found.Root, "Cargo.lock"), found.Files["Cargo.lock"])
		return
	}
	g.modules(of, path.Join(found.Root, "go.mod"), found.Files["go.mod"], found.Files["go.sum"])
}

// named is who names modules. line is 0 if the file is their own, with a line for each.
type named struct {
	of, file string
	line     int
}

func (n named) at(line int) int {
	if n.line > 0 {
		return n.line
	}
	return line
}

func (g *gathering) modules(of named, name string, mod, sum []byte) {
	uses, err := gomod.ReadUses(name, mod, sum)
	if err != nil {
		g.report.Note("the modules of a go.mod cannot be read: "+safetext.Line(err.Error()), of.of)
	}
	for _, m := range uses.Used {
		g.add(audit.Part{Kind: audit.Module, Name: m.Path, Version: m.Version, Of: of.of, File: of.file,
			Line: of.at(m.Line), Known: osv.Subject{Ecosystem: osv.Go, Name: m.Path,
				Version: strings.TrimPrefix(m.Version, "v")}})
	}
	if of.line > 0 && uses.Module != "" && g.specs[of.of] != nil { // the package itself
		versions, _ := g.specs[of.of].Version.All()
		for _, v := range versions {
			g.add(audit.Part{Kind: audit.Package, Name: of.of, Version: v.Version, Of: of.of,
				File: of.file, Line: of.line, Known: osv.Subject{Ecosystem: osv.Go, Name: uses.Module,
					Version: v.Version}})
		}
	}
	for _, local := range uses.Local {
		g.report.Note("a directory stands for a module, and is as the tree or the archive has it",
			of.of+": "+safetext.Line(local))
	}
}

func (g *gathering) crates(of named, name string, text []byte) {
	lock, err := crates.ParseLock(name, text)
	if err != nil {
		g.report.Note("a Cargo.lock cannot be read: "+safetext.Line(err.Error()), of.of)
		return
	}
	lines := crateLines(string(text))
	add := func(crate, version string) {
		g.add(audit.Part{Kind: audit.Crate, Name: crate, Version: version, Of: of.of, File: of.file,
			Line: of.at(lines[crate+" "+version]), Known: osv.Subject{Ecosystem: osv.Crates, Name: crate,
				Version: version}})
	}
	for _, c := range lock.Crates {
		add(c.Name, c.Version)
	}
	for _, c := range lock.Git { // upstream's own repository most of the time
		add(c.Name, c.Version)
	}
	for _, o := range lock.Others {
		g.report.Note("a crate is of another registry", safetext.Line(o.Name+" "+o.Version))
	}
}

// crateLines returns the lines of a Cargo.lock that name crates, by name and version.
func crateLines(text string) map[string]int {
	lines := map[string]int{}
	name, n := "", 0
	for line := range strings.Lines(text) {
		n++
		if rest, ok := strings.CutPrefix(line, `name = "`); ok {
			name, _, _ = strings.Cut(rest, `"`)
		} else if rest, ok := strings.CutPrefix(line, `version = "`); ok && name != "" {
			version, _, _ := strings.Cut(rest, `"`)
			lines[name+" "+version] = n - 1
		}
	}
	return lines
}

// sources adds what first-party code needs: all of it, or that in the source groups of packages.
func (g *gathering) sources(ctx context.Context, wanted func(string) bool, whole bool) error {
	var groups []string
	for _, name := range g.ws.PackageNames() {
		if wanted(name) {
			for _, group := range g.ws.Packages[name].SourceGroups {
				groups = append(groups, path.Join("sources", group))
			}
		}
	}
	seen := func(file string) bool {
		dir := path.Dir(file)
		for _, group := range groups {
			if dir == group || strings.HasPrefix(dir, group+"/") || strings.HasPrefix(group, dir+"/") {
				return true
			}
		}
		return whole
	}
	return fs.WalkDir(g.ws.FS, "sources", func(at string, e fs.DirEntry, err error) error {
		base := path.Base(at)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil || ctx.Err() != nil:
			return cmp.Or(err, ctx.Err())
		case e.IsDir() && base == "vendor": // a go.mod or a Cargo.lock beside it names what is there
			return fs.SkipDir
		case base != "go.mod" && base != "Cargo.lock" || e.IsDir() || !seen(at):
		case !e.Type().IsRegular():
			g.report.Note("a link or a special file names modules", safetext.Line(at))
		case plan.SkipsModules(at):
			g.report.Note("modules are named in a directory that Go and the bundles leave out",
				safetext.Line(at))
		default:
			g.firstParty(at)
		}
		return nil
	})
}

// firstParty adds what a go.mod or a Cargo.lock of the tree names.
func (g *gathering) firstParty(file string) {
	of := named{of: file, file: filepath.ToSlash(file)}
	read := func(file string, max int64) []byte {
		data, err := confined.ReadIn(g.ws.FS, file, max)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			g.report.Note("a file cannot be read: "+safetext.Line(err.Error()), file)
		}
		return data
	}
	if path.Base(file) == "Cargo.lock" {
		g.crates(of, file, read(file, crates.MaxLock))
		return
	}
	g.modules(of, file, read(file, gomod.MaxText),
		read(path.Join(path.Dir(file), "go.sum"), gomod.MaxText))
}
