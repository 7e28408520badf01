// advisories: reads the advisories of a tree, and holds them against its packages.

package lint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"buildsys/internal/confined"
	"buildsys/internal/manifest"
	"buildsys/internal/rpm"
	"buildsys/internal/workspace"
)

// AdvisoryDir is the directory of a tree that has its advisories.
const AdvisoryDir = "advisories"

const (
	// maxAdvisories bounds the advisories of a tree. Those of Bottlerocket have some hundred a year.
	maxAdvisories = 20000
	// maxAdvisoryText bounds all of them together, in bytes.
	maxAdvisoryText = 64 << 20
	// maxNoise bounds what is found in advisories: a mistake that is in all of them is said a few
	// times.
	maxNoise = 1000
)

// Advisories reads the advisories of a tree, in advisories/VERSION/ID.toml. What is wrong with them
// is in the problems; those that cannot be read are missing, and of others what is wrong.
func Advisories(ctx context.Context, ws *workspace.Workspace, now time.Time) (
	all []*manifest.Advisory, problems manifest.Problems) {
	files, problems := advisoryFiles(ws.FS)
	rules := manifest.Rules{Lenient: ws.Foreign()}
	first, size := map[string]string{}, 0
	for _, file := range files {
		if ctx.Err() != nil {
			break
		}
		data, err := confined.ReadIn(ws.FS, file, manifest.MaxSize)
		if err != nil {
			why := err
			if at := new(fs.PathError); errors.As(err, &at) {
				why = at.Err
			}
			problems = append(problems, manifest.Problem{File: file, Msg: "cannot be read: " +
				why.Error()})
			continue
		}
		if size += len(data); size > maxAdvisoryText {
			problems = append(problems, manifest.Problem{File: AdvisoryDir, Msg: fmt.Sprintf("it has more "+
				"than %d MiB: those from %s on are not read", maxAdvisoryText>>20, file)})
			break
		}
		a, wrong := manifest.ParseAdvisory(file, data, rules, now)
		problems = append(problems, wrong...)
		id := strings.TrimSuffix(path.Base(file), ".toml")
		if before := first[id]; before != "" {
			problems = append(problems, manifest.Problem{File: file,
				Msg:  fmt.Sprintf("there are two advisories %s: the other is %s", id, before),
				Hint: "remove one, or give it another id"})
		} else {
			first[id] = file
		}
		a.ID = id // where it is wrong, lint says so, and a fault is one all the same
		all = append(all, a)
	}
	return all, problems.Sorted()
}

// advisoryFiles returns the files of advisories, and what is wrong with others beside them.
func advisoryFiles(tree fs.FS) (files []string, problems manifest.Problems) {
	fault := func(at, format string, args ...any) {
		problems = append(problems, manifest.Problem{File: at, Msg: fmt.Sprintf(format, args...)})
	}
	dirs, err := confined.ReadDir(tree, AdvisoryDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		fault(AdvisoryDir, "cannot be read: %v", err)
	}
	for _, d := range dirs {
		at := path.Join(AdvisoryDir, d.Name())
		if !d.IsDir() {
			if strings.HasSuffix(at, ".toml") {
				fault(at, "advisories are in directories, those that no release has in %s/%s", AdvisoryDir,
					manifest.Staging)
			}
			continue
		}
		entries, err := confined.ReadDir(tree, at)
		if err != nil {
			fault(at, "cannot be read: %v", err)
		}
		for _, e := range entries {
			switch name := path.Join(at, e.Name()); {
			case !strings.HasSuffix(name, ".toml"):
			case !e.Type().IsRegular():
				fault(name, "it is no regular file, and not read")
			case len(files) == maxAdvisories:
				fault(AdvisoryDir, "it has more than %d files", maxAdvisories)
				return files, problems
			default:
				files = append(files, name)
			}
		}
	}
	return files, problems
}

// Made are the names under which advisories know what a tree makes: packages, and RPMs with and
// without the prefix, each with the packages: one that takes the name of another's RPM hides
// nothing.
func Made(specs map[string]*Spec, prefix string) map[string][]string {
	made := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(specs)) {
		for _, one := range append([]RPM{{Name: name}}, specs[name].RPMs...) {
			for _, known := range []string{one.Name, strings.TrimPrefix(one.Name, prefix)} {
				if of := made[known]; len(of) == 0 || of[len(of)-1] != name {
					made[known] = append(of, name)
				}
			}
		}
	}
	return made
}

// checkAdvisories reports what is wrong with the advisories of a tree, and the names in them that
// nothing in it has. Those of releases before are about what that release had.
func (l *linter) checkAdvisories(now time.Time) []Finding {
	ws := l.ws
	l.work.left = maxTreeWork / 4 // whatever the specs have left of theirs
	all, problems := Advisories(l.work.ctx, ws, now)
	made := Made(l.specs, l.prefix)
	names := slices.Sorted(maps.Keys(made))
	for _, a := range all {
		for _, p := range a.Products {
			near := ""
			if made[p.Package] == nil {
				near = l.nearest(p.Package, names)
			}
			if made[p.Package] != nil || !current(ws, a) && near == "" {
				continue
			}
			hint := "correct the name"
			if near != "" {
				hint = fmt.Sprintf("did you mean %q?", near)
			}
			problems = append(problems, manifest.Problem{File: a.File, Line: p.Line,
				Warning: !current(ws, a), Hint: hint,
				Msg: fmt.Sprintf("no package of the tree makes %q", p.Package)})
		}
	}
	if p, n := withNames(all); n > 0 && ws.Foreign() {
		problems = append(problems, p)
	}
	var findings []Finding
	for i, p := range problems {
		level := Error
		if p.Warning {
			level = Warning
		}
		if i == maxNoise {
			p = manifest.Problem{File: AdvisoryDir, Msg: fmt.Sprintf("%d more findings are not listed",
				len(problems)-i)}
		}
		p.Warning = false
		findings = append(findings, Finding{Level: level, Check: CheckAdvisories, Problem: p})
		if i == maxNoise {
			break
		}
	}
	return findings
}

// withNames says once of how many versions it is so that they name a package or a release too.
func withNames(all []*manifest.Advisory) (first manifest.Problem, n int) {
	for _, a := range all {
		for _, p := range a.Products {
			if p.Version == p.Written {
				continue
			}
			if n++; n == 1 {
				first = manifest.Problem{File: a.File, Line: p.Line, Warning: true,
					Hint: "write the version alone", Msg: fmt.Sprintf("%q is not the version of an RPM: it is "+
						"read as %q", p.Written, p.Version)}
			}
		}
	}
	if n > 1 {
		first.Msg += fmt.Sprintf(", and so are %d others", n-1)
	}
	return first, n
}

// current reports whether what an advisory names has to be in the tree: it is about the release
// that the tree is, or a later one.
func current(ws *workspace.Workspace, a *manifest.Advisory) bool {
	return a.Version == manifest.Staging || ws.Release.Version != "" &&
		rpm.Compare(a.Version, ws.Release.Version) >= 0
}
