// images: the images of a variant that can be named: the newest, and earlier ones that the store
// still has.

package build

import (
	"context"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"buildsys/internal/builddir"
	"buildsys/internal/cache"
	"buildsys/internal/contents"
	"buildsys/internal/errkind"
	"buildsys/internal/plan"
)

// rememberImages notes the images that a run has put in place. Losing a note costs a name, never an
// image.
func (s *Session) rememberImages(p plan.Plan) {
	for _, step := range p.Steps {
		if step.Kind != plan.Variant && step.Kind != plan.Repack ||
			filepath.Dir(step.Out) != s.dir.Images(step.Name) {
			continue
		}
		state, ok := builddir.ReadStateHead(s.dir.State(), step.ID)
		if !ok {
			continue
		}
		before := s.with(s.c.WithVariant(step.Name)).history()
		err := builddir.Remember(s.c.Root, s.dir.State(), step.Name, before, builddir.Placed{
			Action: state.Action, At: time.Now()})
		if err != nil {
			s.warn(fmt.Sprintf("the image of %s cannot be named later: %v", step.Name, err))
		}
	}
}

// NamedImage is an image of the variant.
type NamedImage struct {
	Name  string   // as it can be typed: "os~1"
	Files []string // disks, the system's first
	// Entry is what the store knows of its build; nil if this user has not made the image.
	Entry *cache.Entry
}

// EarlierImage is an image that the store has.
type EarlierImage struct {
	Name  string
	Entry cache.Entry
	At    time.Time // when it was put in place, or if that is not known, built
}

// EarlierImages returns the images of the variant that this checkout has had in place and that the
// store still has, the newest first. Those that this user has not made are left out.
func (s *Session) EarlierImages() ([]EarlierImage, error) {
	store, err := s.openStore(s.out)
	if err != nil {
		return nil, err
	}
	if err := s.dir.Check(); err != nil {
		return nil, err
	}
	var all []EarlierImage
	for _, placed := range s.history() {
		e, ok := store.Peek(placed.Action)
		if !ok || !s.believes(e) || !s.isOf(e) || len(DiskFiles(e)) == 0 {
			continue
		}
		if !slices.ContainsFunc(DiskFiles(e), func(f cache.File) bool {
			return !store.HasBlob(cache.Blob{SHA256: f.SHA256, Size: f.Size})
		}) {
			at := placed.At
			if at.IsZero() {
				at = e.Built
			}
			all = append(all, EarlierImage{earlier(s.c.Variant, len(all)), e, at})
		}
	}
	return all, nil
}

// history returns what was put in place: without notes, what the records say.
func (s *Session) history() []builddir.Placed {
	all := builddir.History(s.dir.State(), s.c.Variant)
	if len(all) > 0 {
		return all
	}
	for _, kind := range []plan.Kind{plan.Variant, plan.Repack} {
		state, ok := builddir.ReadState(s.dir.State(), string(kind)+"/"+s.c.Variant)
		if ok {
			all = append(all, builddir.Placed{Action: state.Action})
		}
		if ok && state.Previous != "" {
			all = append(all, builddir.Placed{Action: cache.ActionOf(state.Previous)})
		}
	}
	return all
}

// isOf reports whether an entry is of the variant: the notes may name anything in the store.
func (s *Session) isOf(e cache.Entry) bool {
	return e.Step == s.stepOf(plan.Variant) || e.Step == s.stepOf(plan.Repack)
}

func (s *Session) stepOf(kind plan.Kind) string {
	return string(kind) + "/" + s.c.Variant + " " + s.c.Arch
}

// earlier returns the name of the image n before the newest.
func earlier(variant string, n int) string {
	if n == 0 {
		return variant
	}
	return variant + "~" + strconv.Itoa(n)
}

// DiskFiles returns the disks among the outputs of an image step, the system's first; of an
// appliance alone, that.
func DiskFiles(e cache.Entry) []cache.File {
	for _, format := range []string{"raw", "qcow2", "vmdk", "ova"} {
		var system, data []cache.File
		suffix := plan.DiskSuffix(format)
		for _, f := range e.Files {
			switch {
			case f.Link != "" || !strings.HasSuffix(f.Name, suffix):
			case strings.HasSuffix(f.Name, "-data"+suffix):
				data = append(data, f)
			default:
				system = append(system, f)
			}
		}
		if len(system) > 0 {
			return append(system, data...)
		}
	}
	return nil
}

// FindImage returns the image that a selector names: "" for the newest, "~N" for the one N before
// it, "@HASH" for a root hash by its first digits, "@VERSION" for a version with its build ID,
// "@TIME" for the newest one of that time.
func (s *Session) FindImage(ctx context.Context, selector string) (NamedImage, error) {
	if selector == "" || selector == "@"+builddir.Latest || selector == "~0" {
		return s.newest(ctx)
	}
	all, err := s.EarlierImages()
	if err != nil {
		return NamedImage{}, err
	}
	found := -1
	if number, ok := strings.CutPrefix(selector, "~"); ok {
		n, err := strconv.Atoi(number)
		if err != nil || n < 0 {
			return NamedImage{}, errkind.Usagef("%s%s: write ~N with a number, such as %[1]s~1",
				s.c.Variant, selector)
		}
		if n < len(all) {
			found = n
		}
	} else if found, err = s.selected(ctx, all, strings.TrimPrefix(selector, "@")); err != nil {
		return NamedImage{}, err
	}
	if found < 0 {
		return NamedImage{}, errkind.Usagef("there is no image %s%s for %s: 'buildsys image list %[1]s' "+
			"shows those that this checkout has made and the store still has", s.c.Variant, selector,
			s.c.Arch)
	}
	return s.stored(ctx, all[found])
}

// selected returns the image that has a version, is of a time, or has a root hash.
func (s *Session) selected(ctx context.Context, all []EarlierImage, what string) (int, error) {
	for i, one := range all {
		if versionOf(one.Entry) == what {
			return i, nil
		}
	}
	if until, ok := endOf(what); ok {
		return slices.IndexFunc(all, func(one EarlierImage) bool { return one.At.Before(until) }), nil
	}
	_, err := hex.DecodeString(what + strings.Repeat("0", len(what)%2))
	if err != nil || len(what) < 4 {
		return 0, errkind.Usagef("@%s is none of: a version with its build ID, a time such as "+
			"2026-01-31 or 2026-01-31T12:00, or at least four digits of a root hash", what)
	}
	found := -1
	for i, one := range all {
		hash, err := s.RootHash(ctx, one)
		if err != nil {
			return 0, err
		}
		if !strings.HasPrefix(hash, what) {
			continue
		}
		if found >= 0 {
			return 0, errkind.Usagef("the root hashes of %s and %s begin with %s: name more digits, or "+
				"one of these", all[found].Name, one.Name, what)
		}
		found = i
	}
	return found, nil
}

// endOf returns the end of a time: of the day, minute or second that it names.
func endOf(text string) (time.Time, bool) {
	for _, form := range []struct {
		layout string
		long   time.Duration
	}{{time.DateOnly, 24 * time.Hour}, {"2006-01-02T15:04", time.Minute},
		{"2006-01-02T15:04:05", time.Second}} {
		if t, err := time.ParseInLocation(form.layout, text, time.Local); err == nil {
			return t.Add(form.long), true
		}
	}
	t, err := time.Parse(time.RFC3339, text)
	return t.Add(time.Second), err == nil
}

// versionOf returns the version and build ID of an image, as its directory is named.
func versionOf(e cache.Entry) string {
	version, id := cache.Arg(e.Transcript, "VERSION_ID"), cache.Arg(e.Transcript, "BUILD_ID")
	return version + "-" + id
}

// Version returns the version and build ID of the image.
func (e EarlierImage) Version() string { return versionOf(e.Entry) }

// newest returns the newest image. A checkout may have brought it along: then a warning says so.
func (s *Session) newest(ctx context.Context) (NamedImage, error) {
	system, data, err := s.NewestImage()
	if err != nil {
		return NamedImage{}, err
	}
	found := NamedImage{Name: s.c.Variant, Files: []string{system}}
	names := []string{filepath.Base(system)}
	if data != "" {
		found.Files, names = append(found.Files, data), append(names, filepath.Base(data))
	}
	e, ok, err := s.vouchedEntry(ctx, filepath.Dir(system), names)
	switch {
	case err != nil:
		return found, err
	case ok:
		found.Entry = &e
	default:
		s.warn(fmt.Sprintf("the image of %s in %s is none that this user has made: it may have come "+
			"with the checkout", s.c.Variant, filepath.Dir(system)))
	}
	return found, nil
}

// stored returns an image whose disks are in the store, after checking them.
func (s *Session) stored(ctx context.Context, one EarlierImage) (NamedImage, error) {
	store, err := s.openStore(s.out)
	if err != nil {
		return NamedImage{}, err
	}
	found := NamedImage{Name: one.Name, Entry: &one.Entry}
	for _, f := range DiskFiles(one.Entry) {
		file, err := store.BlobFile(cache.Blob{SHA256: f.SHA256, Size: f.Size},
			func(name string) ([32]byte, error) { return hashFile(ctx, name) })
		if err != nil {
			return found, errkind.BadEnvironment(fmt.Errorf("image %s: %w", one.Name, err))
		}
		found.Files = append(found.Files, file)
	}
	return found, nil
}

// RootHash returns the root hash of an image, or "" if it has none.
func (s *Session) RootHash(ctx context.Context, one EarlierImage) (string, error) {
	found, err := s.stored(ctx, one)
	if err != nil {
		return "", err
	}
	img, err := contents.Open(ctx, found.Name, found.Files, "")
	if err != nil {
		return "", err
	}
	defer img.Close()
	return img.RootHash(), nil
}
