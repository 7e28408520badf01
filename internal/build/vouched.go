// vouched: whether this user has made the newest image. What lies in build/ may have come with the
// checkout, records and all, a repacked image is signed, and one that boots counts as good.

package build

import (
	"context"
	"crypto/sha256"
	"io"
	"path/filepath"

	"buildsys/internal/builddir"
	"buildsys/internal/cache"
	"buildsys/internal/confined"
	"buildsys/internal/ctxio"
	"buildsys/internal/errkind"
	"buildsys/internal/plan"
)

// checkVouched returns an error unless the store knows the named files in dir as outputs of a build
// of the variant's image. The record in the checkout only says which.
func (s *Session) checkVouched(ctx context.Context, dir string, names []string) error {
	if _, ok, err := s.vouchedEntry(ctx, dir, names); ok || err != nil {
		return err
	}
	return errkind.Usagef("the image of variant %s in %s is none that this user has made: "+
		"build it with 'buildsys build-variant %[1]s --arch %[3]s', or, if you trust it, name it with "+
		"--from %[2]s",
		s.c.Variant, dir, s.c.Arch)
}

// vouchedEntry returns what the store knows of the named files in dir as outputs of a build of the
// variant's image. ok is false if this user has not made them.
func (s *Session) vouchedEntry(ctx context.Context, dir string, names []string) (e cache.Entry,
	ok bool, err error) {
	store, err := s.openStore(s.out)
	if err != nil {
		return e, false, err
	}
	for _, kind := range []plan.Kind{plan.Variant, plan.Repack} {
		state, known := builddir.ReadStateHead(s.dir.State(), string(kind)+"/"+s.c.Variant)
		if !known {
			continue
		}
		if e, ok = store.Peek(state.Action); !ok {
			e, ok = store.Remote(state.Action)
		}
		if !ok || !s.believes(e) {
			continue
		}
		if same, err := sameFiles(ctx, e, dir, names); same || err != nil {
			return e, same, err
		}
	}
	return cache.Entry{}, false, nil
}

// believes reports whether an entry is of this machine or of a remote cache that is trusted.
func (s *Session) believes(e cache.Entry) bool {
	trusts := s.trusts()
	return e.Origin == "" || trusts != nil && (e.Here() || trusts(e.Origin))
}

// sameFiles reports whether an entry has the named files as they are in dir.
func sameFiles(ctx context.Context, e cache.Entry, dir string, names []string) (bool, error) {
	sums := map[string][sha256.Size]byte{}
	for _, f := range e.Files {
		if f.Link == "" {
			sums[f.Name] = f.SHA256
		}
	}
	for _, name := range names {
		want, ok := sums[name]
		if !ok {
			return false, nil
		}
		sum, err := hashFile(ctx, filepath.Join(dir, name))
		if err != nil || sum != want {
			return false, err
		}
	}
	return len(names) > 0, nil
}

func hashFile(ctx context.Context, name string) (sum [sha256.Size]byte, err error) {
	f, err := confined.Path{Name: name}.Open()
	if err != nil {
		return sum, errkind.BadEnvironment(err)
	}
	defer f.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, ctxio.NewReader(ctx, f)); err != nil {
		return sum, errkind.BadEnvironment(err)
	}
	return [sha256.Size]byte(hash.Sum(nil)), nil
}
