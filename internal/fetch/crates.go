// crates: the crates that a Cargo.lock names, unpacked as a vendor directory wants them.

package fetch

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"buildsys/internal/confined"
	"buildsys/internal/crates"
	"buildsys/internal/ctxio"
	"buildsys/internal/errkind"
	"buildsys/internal/progress"
)

// cratesSetting is the environment variable with the places of crates, in the form of GOPROXY:
// each has NAME/NAME-VERSION.crate.
const cratesSetting = "BUILDSYS_CRATES_PROXY"

// defaultCrates is where the public registry has its crates.
const defaultCrates = "https://static.crates.io/crates"

// CratePath returns the directory with the files of a crate that FetchCrates fills.
func (s *Store) CratePath(c crates.Crate) string {
	return filepath.Join(s.Crates, "unpacked", c.SHA256)
}

// FetchCrates fetches and unpacks crates, each held to its checksum. of is the file that names
// them. The error is a *CrateError, a *StoreError, about the contents of a crate, or the context's.
func (s *Store) FetchCrates(ctx context.Context, step, of string, list []crates.Crate) error {
	return s.fetchCrates(ctx, step, of, list, s.CratePath)
}

// fetchCrates is FetchCrates into the directories that dir returns.
func (s *Store) fetchCrates(ctx context.Context, step, of string, list []crates.Crate,
	dir func(crates.Crate) string) error {
	var todo []*pinned
	byTitle := map[string]crates.Crate{}
	for _, c := range list {
		byTitle[c.String()] = c
		todo = append(todo, &pinned{
			title: c.String(), name: c.Name + "/" + c.String() + ".crate", root: s.Crates,
			kept:    filepath.Join(s.Crates, "files", c.SHA256+".crate"),
			setting: cratesSetting, proxies: s.cratesProxy,
			check: func(ctx context.Context, path string) error {
				return wrongSum(c.SHA256)(hashCrate(ctx, path))
			},
			failed: func(tried []Attempt, bad bool) error {
				return &CrateError{Crate: c, Of: of, Bad: bad, Tried: tried}
			},
		})
	}
	return s.fetchPinned(ctx, step, "crates of "+of, todo, func(p *pinned) error {
		c := byTitle[p.title]
		return s.unpack(ctx, p, c, dir(c))
	})
}

func (s *Store) cratesProxy() string {
	return cmp.Or(s.Proxies.Crates, defaultCrates)
}

func hashCrate(ctx context.Context, path string) (string, error) {
	f, err := confined.Path{Name: path}.Open()
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	_, err = io.Copy(sum, ctxio.NewReader(ctx, f))
	return fmt.Sprintf("%x", sum.Sum(nil)), err
}

// unpack makes the directory of a crate, unless it is there as it must be.
func (s *Store) unpack(ctx context.Context, p *pinned, c crates.Crate, dir string) error {
	return s.renew(ctx, p, c.String(), dir, func() error {
		return inCrate(p.kept, dir, func(f io.Reader, root *os.Root) error {
			return c.Check(ctx, f, root)
		})
	}, func(made string) error {
		return inCrate(p.kept, made, func(f io.Reader, root *os.Root) error {
			return c.Unpack(ctx, f, root)
		})
	})
}

// renew makes the directory of a crate, unless check finds nothing wrong with the one that is
// there. fill writes the files to another directory.
func (s *Store) renew(ctx context.Context, p *pinned, crate, dir string, check func() error,
	fill func(dir string) error) error {
	_, none := os.Lstat(dir)
	wrong, damaged := check(), none == nil
	if wrong == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	if damaged {
		p.job.emit(progress.Warning, fmt.Sprintf("%s was damaged in the cache (%s: %v); it is unpacked "+
			"again", crate, dir, wrong), nil)
	}
	work := filepath.Join(s.Crates, "unpacked") // whoever is shown what is beside dir must not see it
	if err := mkdirAll(work); err != nil {
		return err
	}
	made, err := os.MkdirTemp(work, ".new-")
	if err != nil {
		return storeError("create", dir, err)
	}
	defer os.RemoveAll(made)
	if err := fill(made); err != nil {
		return err
	}
	if err := mkdirAll(filepath.Dir(dir)); err != nil {
		return err
	}
	err = os.Chmod(made, 0o755)
	if err == nil && damaged { // what another run has made meanwhile may be in use
		err = os.RemoveAll(dir)
	}
	if err != nil {
		return storeError("replace", dir, err)
	}
	if err := os.Rename(made, dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return storeError("rename", dir, err)
	}
	return nil
}

// inCrate calls do with a .crate file and a directory of its files.
func inCrate(file, dir string, do func(io.Reader, *os.Root) error) error {
	f, err := confined.Path{Name: file}.Open()
	if err != nil {
		return err
	}
	defer f.Close()
	root, err := confined.OpenDir(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return do(f, root)
}

// CrateError reports that no place has a crate with the bytes that a Cargo.lock requires.
type CrateError struct {
	Crate crates.Crate
	Of    string // the file that names it
	Bad   bool   // a place has other bytes
	Tried []Attempt
}

// Error names every place that was asked.
func (e *CrateError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "crate %s, which %s names, ", e.Crate, e.Of)
	if e.Bad {
		fmt.Fprintf(&b, "has a wrong checksum wherever it exists\n  wanted: sha256 %s", e.Crate.SHA256)
	} else {
		b.WriteString("could not be fetched")
	}
	for _, t := range e.Tried {
		fmt.Fprintf(&b, "\n  %s: %v", t.Place, t.Err)
	}
	b.WriteString("\n  set " + cratesSetting + " to places that have NAME/NAME-VERSION.crate, as in " +
		"https://crates.example.com or file:///a/directory")
	return b.String()
}

// ErrorKind returns errkind.Integrity if a place has other bytes, and errkind.Environment
// otherwise.
func (e *CrateError) ErrorKind() errkind.Kind {
	if e.Bad {
		return errkind.Integrity
	}
	return errkind.Environment
}
