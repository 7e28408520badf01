// packages: files that a lock of Debian packages names by their sha256, and the indexes that locks
// are made of.

package fetch

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"buildsys/internal/errkind"
	"buildsys/internal/safetext"
)

// Package is a file that is known by its sha256.
type Package struct {
	Name   string // of the file
	SHA256 string // in hex
	Size   int64
	URLs   []string // where it may be besides lookaside caches, in the order in which they are asked
}

// In returns where the package is in the directory of FetchPackages.
func (p Package) In(dir string) string { return filepath.Join(dir, p.SHA256, p.Name) }

// FetchPackages fetches files into a directory, which keeps them. Lookaside caches, which have
// NAME/SHA256/NAME, are asked first. what names all of them. The error is a *PackagesError, a
// *StoreError or the context's.
func (s *Store) FetchPackages(ctx context.Context, dir, what string, list []Package) error {
	var todo []*pinned
	for _, p := range list {
		if !isFileName(p.Name) || !isFileName(p.SHA256) {
			return errkind.Usagef("%q is not the name of a package's file", p.Name)
		}
		one := &pinned{
			title: p.Name, kept: p.In(dir), root: dir, max: p.Size,
			at:    s.packagePlaces(p),
			check: func(ctx context.Context, path string) error { return checkPackage(ctx, p, path) },
			failed: func(tried []Attempt, bad bool) error {
				return &packageError{p.Name, bad, tried}
			},
		}
		one.load = func(ctx context.Context, from proxy, part *part) error {
			return loadPackage(ctx, from, part, one.job)
		}
		todo = append(todo, one)
	}
	err := s.fetchPinned(ctx, what, what, todo, func(*pinned) error { return nil })
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		return joinPackages(what, len(list), all.Unwrap())
	}
	return err
}

func isFileName(name string) bool {
	return name != "" && name == filepath.Base(name) && name != "." && name != ".."
}

// packagePlaces returns where a package may be.
func (s *Store) packagePlaces(p Package) []proxy {
	j := &job{s: s, name: p.Name}
	j.file.SHA512 = p.SHA256 // lookaside caches have sums of both kinds in one form
	at := []proxy{}
	for _, place := range j.lookasides() {
		base := place.url
		if base == "" {
			base = place.path
		}
		at = append(at, proxy{base: base, anyErr: true})
	}
	for _, u := range p.URLs {
		at = append(at, proxy{base: u, anyErr: true})
	}
	return at
}

// loadPackage brings a file from a place, which is its own URL or path.
func loadPackage(ctx context.Context, from proxy, p *part, j *job) error {
	at := place{label: safetext.Place(from.base), path: from.base}
	if u, err := url.Parse(from.base); err == nil && u.Host != "" {
		at.path, at.url = "", from.base
	} else if err == nil && u.Scheme == "file" {
		at.path = u.Path
	}
	_, err := at.load(ctx, j, p)
	return err
}

func checkPackage(ctx context.Context, p Package, path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if info.Size() != p.Size {
		return fmt.Errorf("has %d bytes instead of %d", info.Size(), p.Size)
	}
	return wrongSum(p.SHA256)(hashCrate(ctx, path))
}

// packageError is about one package that could not be had.
type packageError struct {
	name  string
	bad   bool // a place has other bytes
	tried []Attempt
}

func (e *packageError) Error() string {
	text := e.name
	for _, t := range e.tried {
		text += fmt.Sprintf("\n    %s: %v", t.Place, t.Err)
	}
	return text
}

// PackagesError reports packages that no place has with the bytes that their lock names.
type PackagesError struct {
	Of    string // "packages of the SDK"
	Total int
	Names []string
	Bad   bool     // a place has other bytes of one
	First []string // the places of the first one, with what was wrong
}

// joinPackages returns one error for all packages that could not be had, or errors of another kind.
func joinPackages(of string, total int, errs []error) error {
	e := &PackagesError{Of: of, Total: total}
	for _, err := range errs {
		one, ok := errors.AsType[*packageError](err)
		if !ok {
			return errors.Join(errs...)
		}
		e.Names = append(e.Names, one.name)
		if e.First == nil || one.bad && !e.Bad {
			e.First = nil
			for _, t := range one.tried {
				e.First = append(e.First, fmt.Sprintf("%s: %v", t.Place, t.Err))
			}
			// The one that says most is shown first.
			last := len(e.Names) - 1
			e.Names[0], e.Names[last] = e.Names[last], e.Names[0]
		}
		e.Bad = e.Bad || one.bad
	}
	slices.Sort(e.Names[1:])
	return e
}

// Error lists the packages.
func (e *PackagesError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: no place has %d of %d with the bytes that are wanted", e.Of, len(e.Names),
		e.Total)
	for i, name := range e.Names {
		fmt.Fprintf(&b, "\n  %s", name)
		for _, at := range e.First {
			if i == 0 {
				fmt.Fprintf(&b, "\n    %s", at)
			}
		}
	}
	return b.String()
}

// ErrorKind returns errkind.Integrity if a place has other bytes, and otherwise
// errkind.Environment.
func (e *PackagesError) ErrorKind() errkind.Kind {
	if e.Bad {
		return errkind.Integrity
	}
	return errkind.Environment
}
