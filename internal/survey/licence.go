// licence: which licences the sources have, by the texts in them.

package survey

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// minCover is how much of a text must be a licence's, in per cent, to say that it has one.
const minCover = 60

var (
	licenceFile = regexp.MustCompile(`(?i)^(COPYING|LICEN[CS]E|COPYRIGHT|UNLICENSE)([-_.][^/]*)?$`)
	expression  = regexp.MustCompile(`^[A-Za-z0-9.+() -]+$`)
	mesonSaid   = regexp.MustCompile(`(?s)\bproject\s*\([^)]*?\blicense\s*:\s*\[?\s*'([^']+)'\s*[,\])]`)
	gnu         = regexp.MustCompile(`^(A?GPL|LGPL|GFDL)-[0-9.]+$`)
)

// licences finds the licences of the sources.
func (s *Source) licences(r *reader) {
	var found []string
	for _, file := range r.sorted() {
		dir := path.Dir(file)
		if !licenceFile.MatchString(path.Base(file)) || dir != "." && dir != "LICENSES" && dir != "doc" {
			if !(dir == "LICENSES" && len(file) < 200) {
				continue
			}
		}
		s.LicenceFiles = append(s.LicenceFiles, file)
		scan := licensecheck.Scan([]byte(r.texts[file]))
		if scan.Percent < minCover {
			s.Unsure = append(s.Unsure, Line(file)+" is not a licence that is known by its text")
			continue
		}
		for _, m := range scan.Match {
			if !m.IsURL && !slices.Contains(found, m.ID) {
				found = append(found, m.ID)
			}
		}
	}
	if said := s.said(r); said != "" {
		s.Licence = said
		return
	}
	slices.Sort(found)
	// The texts of GNU's licences end with an example of a notice, which is none.
	found = slices.DeleteFunc(found, func(id string) bool {
		base, of := strings.CutSuffix(id, "-or-later")
		return of && slices.Contains(found, base)
	})
	for i, id := range found {
		found[i] = s.version(r, id)
	}
	s.Licence = strings.Join(found, " AND ")
	switch {
	case s.Licence == "":
		s.Unsure = append(s.Unsure, "the licence is not known: set License to its SPDX identifier")
	case len(found) > 1:
		s.Unsure = append(s.Unsure, "several licences were found; which hold for what, and whether it "+
			"is AND or OR, is not known: look at License")
	}
}

// said returns the licence that the build system's file names, if that is an SPDX expression.
func (s *Source) said(r *reader) string {
	rule, file := cargoLicence, "Cargo.toml"
	if s.System == Meson {
		rule, file = mesonSaid, "meson.build"
	} else if s.System != Cargo {
		return ""
	}
	m := rule.FindStringSubmatch(r.texts[file])
	if m == nil || !expression.MatchString(m[1]) || !strings.Contains(m[1], "-") && m[1] != "MIT" {
		return ""
	}
	return s.version(r, strings.ReplaceAll(m[1], "+", "-or-later"))
}

// version adds to the identifier of a licence of GNU's whether later ones may be taken, which its
// text does not say.
func (s *Source) version(r *reader, id string) string {
	switch {
	case !gnu.MatchString(id):
		return id
	case r.later > 0 && r.only == 0:
		return id + "-or-later"
	case r.only > 0 && r.later == 0:
		return id + "-only"
	}
	s.Unsure = append(s.Unsure, "whether later versions of "+id+" hold, the first source files do "+
		"not say with one voice: look at License")
	if r.later > r.only {
		return id + "-or-later"
	}
	return id + "-only"
}
