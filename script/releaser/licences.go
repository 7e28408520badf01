// Licences: the texts that come with the code in the binaries, and which licences they are.

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// licences are those of the modules in the binaries, by "path@version" and of Go's own library.
type licences struct {
	text []byte            // all texts, for people
	ids  map[string]string // SPDX expressions; a module whose texts are not all known has none
}

// legalFile matches the names of files that have to go with copies of a program.
var legalFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)\b.*`)

// known are the SPDX identifiers that may be stated. licensecheck has others of its own.
var known = []string{"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC-BY-4.0",
	"CC-BY-SA-4.0", "CC0-1.0",
	"ISC", "MIT", "MPL-2.0", "Unlicense", "Zlib"}

// goPackage is what go list says of a package.
type goPackage struct {
	Dir      string
	Standard bool
	Module   *struct {
		Path, Version, Dir string
		Main               bool
		Replace            *struct{ Path string }
	}
}

// collectLicences looks at the directories of all packages in the binaries, up to their modules'.
func (r *release) collectLicences(ctx context.Context) error {
	found := map[string]map[string][]byte{} // by module, then by path of the file
	for _, t := range targets {
		packages, err := r.packagesIn(ctx, t)
		if err != nil {
			return err
		}
		for _, p := range packages {
			if p.Module == nil || p.Module.Main {
				continue
			}
			if p.Module.Replace != nil {
				return fmt.Errorf("%s is replaced: its licence is not known", p.Module.Path)
			}
			module := p.Module.Path + "@" + p.Module.Version
			if found[module] == nil {
				found[module] = map[string][]byte{}
			}
			if err := legalFiles(found[module], p.Module.Dir, p.Dir); err != nil {
				return err
			}
		}
	}
	std := map[string][]byte{}
	found[r.std()] = std
	if err := legalFiles(std, r.tools.root, r.tools.root); err != nil {
		return err
	}
	r.legal = licences{text: legalText(found), ids: map[string]string{}}
	for _, module := range slices.Sorted(maps.Keys(found)) {
		if len(found[module]) == 0 {
			return fmt.Errorf("%s has no text of a licence", module)
		}
		if r.legal.ids[module] = expression(found[module]); r.legal.ids[module] == "" {
			r.say("warning: the licence of %s is not known by its text; the bills of materials have "+
				"none for it", module)
		}
	}
	return nil
}

// std names Go's own library as a module.
func (r *release) std() string { return "std@" + r.tools.version }

func (r *release) packagesIn(ctx context.Context, t target) (packages []goPackage, err error) {
	out, err := r.tools.run(ctx, r.tree(), t, "list", "-deps", "-json=Dir,Standard,Module",
		"./cmd/buildsys")
	if err != nil {
		return nil, err
	}
	for in := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		switch err := in.Decode(&p); {
		case errors.Is(err, io.EOF):
			return packages, nil
		case err != nil:
			return nil, fmt.Errorf("go list: %w", err)
		}
		packages = append(packages, p)
	}
}

// legalFiles adds the files of a module in the directory of a package and in those above it.
func legalFiles(to map[string][]byte, top, dir string) error {
	for ; ; dir = filepath.Dir(dir) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if !e.Type().IsRegular() || !legalFile.MatchString(e.Name()) ||
				strings.HasSuffix(e.Name(), ".go") {
				continue
			}
			name, err := filepath.Rel(top, filepath.Join(dir, e.Name()))
			if err != nil {
				return err
			}
			if to[name], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
		if dir == top || len(dir) <= len(top) {
			return nil
		}
	}
}

// expression returns the licences of a module's texts as an SPDX expression, or "" if one of them
// is not known. A notice or a grant of patents is no licence of its own.
func expression(files map[string][]byte) string {
	var ids []string
	for name, text := range files {
		base := strings.ToLower(filepath.Base(name))
		if strings.HasPrefix(base, "notice") || strings.HasPrefix(base, "patents") {
			continue
		}
		cover := licensecheck.Scan(text)
		if len(cover.Match) == 0 || cover.Percent < 50 {
			return ""
		}
		for _, m := range cover.Match {
			if !m.IsURL && !slices.Contains(known, m.ID) {
				return ""
			}
			if !m.IsURL {
				ids = append(ids, m.ID)
			}
		}
	}
	slices.Sort(ids)
	return strings.Join(slices.Compact(ids), " AND ")
}

// legalText writes each text once, below all files that have it.
func legalText(found map[string]map[string][]byte) []byte {
	where := map[string][]string{}
	for module, files := range found {
		for name, text := range files {
			where[string(text)] = append(where[string(text)], module+": "+filepath.ToSlash(name))
		}
	}
	type block struct {
		of   []string
		text string
	}
	var blocks []block
	for text, of := range where {
		slices.Sort(of)
		blocks = append(blocks, block{of, text})
	}
	slices.SortFunc(blocks, func(a, b block) int { return strings.Compare(a.of[0], b.of[0]) })
	var out bytes.Buffer
	out.WriteString("buildsys contains the following modules, under these terms.\n")
	for _, b := range blocks {
		fmt.Fprintf(&out, "\n%s\n%s\n\n%s\n", strings.Repeat("=", 80), strings.Join(b.of, "\n"),
			strings.TrimRight(b.text, "\n"))
	}
	return out.Bytes()
}
