// modules: the Go modules that an archive of sources needs, in a directory in the form of a module
// proxy.

package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"

	"buildsys/internal/confined"
	"buildsys/internal/gomod"
	"buildsys/internal/manifest"
)

// ModulesPath returns the directory that FetchModules fills for f. Each archive and each module in
// it has its own.
func (s *Store) ModulesPath(f manifest.ExternalFile) string {
	sum := sha256.Sum256([]byte(f.SHA512 + "\n" + f.BundleRoot))
	return s.modulesPath(sum)
}

func (s *Store) modulesPath(sum [32]byte) string {
	return filepath.Join(s.Modules, "proxy", fmt.Sprintf("%x", sum[:16]))
}

// FetchModules makes ModulesPath(f) a Go module proxy with every module that the go.sum in the
// archive f names, each checked against its sum there. The archive must be in the store. The error
// is a *gomod.Error if the archive is not as its manifest describes it, a *ModuleError, a
// *StoreError or the context's.
func (s *Store) FetchModules(ctx context.Context, step string, f manifest.ExternalFile) error {
	modules, err := gomod.Read(ctx, s.Path(f), f.BundleRoot)
	if err != nil {
		return fmt.Errorf("%s: Go modules of %s: %w", origin(step, f), f.Name(), err)
	}
	return s.fetchModules(ctx, step, origin(step, f), f.Name(), s.ModulesPath(f), modules)
}

// SumsPath returns the directory that FetchSums fills for a go.sum.
func (s *Store) SumsPath(sums []byte) string { return s.modulesPath(sha256.Sum256(sums)) }

// FetchSums is FetchModules for the go.sum of a module that is not in an archive, and returns the
// directory. who is the module's name in messages.
func (s *Store) FetchSums(ctx context.Context, who string, sums []byte) (dir string, err error) {
	modules, err := gomod.ParseSums(sums)
	if err != nil {
		return "", fmt.Errorf("%s/go.sum: %w", who, err)
	}
	dir = s.SumsPath(sums)
	if err := mkdirAll(dir); err != nil { // even if there are no modules
		return "", err
	}
	return dir, s.fetchModules(ctx, who, who, who, dir, modules)
}

func (s *Store) fetchModules(ctx context.Context, step, where, of, dir string,
	modules []gomod.Module) error {
	todo, err := s.moduleFiles(where, of, modules)
	if err != nil {
		return fmt.Errorf("%s: Go modules of %s: %w", where, of, err)
	}
	return s.fetchPinned(ctx, step, "Go modules of "+of, todo, func(p *pinned) error {
		return p.link(ctx, filepath.Join(dir, p.name))
	})
}

// moduleFiles returns the files that the go command may request from a proxy.
func (s *Store) moduleFiles(where, of string, modules []gomod.Module) ([]*pinned, error) {
	var todo []*pinned
	add := func(title, name, sum string, check func(context.Context, string) (string, error)) {
		if sum == "" {
			return
		}
		todo = append(todo, &pinned{
			title: title, name: name, root: s.Modules, kept: s.keptPath(name, sum),
			setting: "GOPROXY", proxies: s.goProxy,
			check: func(ctx context.Context, path string) error {
				return wrongSum(sum)(check(ctx, path))
			},
			failed: func(tried []Attempt, bad bool) error {
				return &ModuleError{Module: title, Of: of, Where: where, Want: sum, Bad: bad, Tried: tried}
			},
		})
	}
	for _, m := range modules {
		path, err := module.EscapePath(m.Path)
		if err != nil {
			return nil, err
		}
		version, err := module.EscapeVersion(m.Version)
		if err != nil {
			return nil, err
		}
		stem, title := path+"/@v/"+version, m.Path+"@"+m.Version
		add("go.mod of "+title, stem+".mod", m.ModSum, hashMod)
		add(title, stem+".zip", m.ZipSum, hashZip)
	}
	return todo, nil
}

// hashMod returns the sum of a go.mod as go.sum has it.
func hashMod(_ context.Context, path string) (string, error) {
	return dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) {
		return confined.Path{Name: path}.Open()
	})
}

// wrongSum returns a function that returns its error, or one if a sum is not the wanted one.
func wrongSum(want string) func(got string, err error) error {
	return func(got string, err error) error {
		if err == nil && got != want {
			return fmt.Errorf("has the sum %s", got)
		}
		return err
	}
}

// keptPath returns the path of a file kept for all archives. Its name is the sum, which nobody can
// claim wrongly.
func (s *Store) keptPath(name, sum string) string {
	bytes, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(sum, "h1:"))
	if err != nil || len(bytes) != sha256.Size {
		bytes = []byte("not a sum") // no bytes have this sum, so the path never exists
	}
	return filepath.Join(s.Modules, "files", fmt.Sprintf("%x%s", bytes, filepath.Ext(name)))
}
