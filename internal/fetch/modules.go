// modules: the Go modules that an archive of sources needs, in a directory in the form of a module
// proxy.

package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/sync/errgroup"

	"buildsys/internal/atomicfile"
	"buildsys/internal/confined"
	"buildsys/internal/gomod"
	"buildsys/internal/manifest"
	"buildsys/internal/progress"
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
	todo, err := moduleFiles(modules)
	if err != nil {
		return fmt.Errorf("%s: Go modules of %s: %w", where, of, err)
	}
	var (
		begin   = s.now()
		tell    sync.Once
		done    atomic.Int64
		fetched atomic.Int64
		what    = fmt.Sprintf("Go modules of %s", of)
		errs    = make([]error, len(todo))
		group   errgroup.Group // no shared context: one missing module must not hide another
	)
	group.SetLimit(orDefault(s.tuned.jobs, defaultJobs))
	for i, m := range todo {
		group.Go(func() error {
			m.job = &job{s: s, step: step, name: m.title(), final: s.keptPath(m), where: where}
			m.of = of
			m.start = func() {
				fetched.Add(1)
				tell.Do(func() { s.emit(progress.Event{Kind: progress.FetchStart, Step: step, Text: what}) })
			}
			errs[i] = m.provide(ctx, filepath.Join(dir, m.name))
			if n := done.Add(1); s.now().Sub(begin) > progressEvery && n%16 == 0 {
				s.emit(progress.Event{Kind: progress.FetchProgress, Step: step,
					Text: fmt.Sprintf("%s: %d of %d files", what, n, len(todo))})
			}
			return nil
		})
	}
	_ = group.Wait()
	if ctx.Err() != nil {
		return fmt.Errorf("fetch %s: %w", what, context.Cause(ctx))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if n := fetched.Load(); n > 0 {
		s.emit(progress.Event{Kind: progress.FetchDone, Step: step,
			Text: fmt.Sprintf("%s (%d files)", what, n), Duration: s.now().Sub(begin)})
	}
	return nil
}

// moduleFile is one file of a module proxy.
type moduleFile struct {
	module gomod.Module
	name   string // below the proxy: "golang.org/x/text/@v/v0.3.0.zip"
	sum    string // "h1:…"
	zip    bool   // all files of the module; otherwise its go.mod
	of     string // the archive whose go.sum names it
	start  func() // called if it must be fetched
	job    *job
}

// moduleFiles returns the files that the go command may request from a proxy.
func moduleFiles(modules []gomod.Module) ([]moduleFile, error) {
	var todo []moduleFile
	for _, m := range modules {
		path, err := module.EscapePath(m.Path)
		if err != nil {
			return nil, err
		}
		version, err := module.EscapeVersion(m.Version)
		if err != nil {
			return nil, err
		}
		stem := path + "/@v/" + version
		if m.ModSum != "" {
			todo = append(todo, moduleFile{module: m, name: stem + ".mod", sum: m.ModSum})
		}
		if m.ZipSum != "" {
			todo = append(todo, moduleFile{module: m, name: stem + ".zip", sum: m.ZipSum, zip: true})
		}
	}
	return todo, nil
}

func (m *moduleFile) title() string {
	if m.zip {
		return m.module.Path + "@" + m.module.Version
	}
	return "go.mod of " + m.module.Path + "@" + m.module.Version
}

// keptPath returns the path of a file kept for all archives. Its name is the sum, which nobody can
// claim wrongly.
func (s *Store) keptPath(m moduleFile) string {
	sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.sum, "h1:"))
	if err != nil || len(sum) != sha256.Size {
		sum = []byte("not a sum") // no bytes have this sum, so the path never exists
	}
	return filepath.Join(s.Modules, "files", fmt.Sprintf("%x%s", sum, filepath.Ext(m.name)))
}

// check returns nil if the file at path has the sum.
func (m *moduleFile) check(ctx context.Context, path string) error {
	var got string
	var err error
	if m.zip {
		got, err = hashZip(ctx, path)
	} else {
		got, err = dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser,
			error) {
			return confined.Path{Name: path}.Open()
		})
	}
	switch {
	case err != nil:
		return err
	case got != m.sum:
		return fmt.Errorf("has the sum %s", got)
	}
	return nil
}

// provide puts the file at path, from the kept files or from a proxy.
func (m *moduleFile) provide(ctx context.Context, path string) error {
	kept := m.job.final
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if m.check(ctx, kept) == nil {
			return m.link(ctx, kept, path)
		}
		p, err := openPart(ctx, kept, func() {})
		if errors.Is(err, errGone) {
			continue
		}
		if err != nil {
			return err
		}
		err = m.keep(ctx, p)
		p.release(err)
		if err != nil {
			return err
		}
	}
}

// keep makes the kept file, unless the previous holder of the lock p has made it. Only the holder
// may remove a damaged one: it may have been repaired by now.
func (m *moduleFile) keep(ctx context.Context, p *part) error {
	kept := m.job.final
	err := m.check(ctx, kept)
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	if !errors.Is(err, fs.ErrNotExist) {
		m.job.emit(progress.Warning, fmt.Sprintf("%s was damaged in the cache (%s); it is fetched again",
			m.job.name, kept), nil)
		if err := os.Remove(kept); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return storeError("remove", kept, err)
		}
	}
	m.start()
	return m.obtain(ctx, p)
}

// link links the kept file into the proxy directory, unless the file there has the right sum.
func (m *moduleFile) link(ctx context.Context, kept, path string) error {
	if m.check(ctx, path) == nil {
		return nil
	}
	if err := mkdirAll(filepath.Dir(path)); err != nil {
		return err
	}
	if err := atomicfile.Link(kept, path, 0o644); err != nil {
		return storeError("write", path, err)
	}
	return nil
}

// obtain fills p from the first proxy that has the right bytes, and keeps them.
func (m *moduleFile) obtain(ctx context.Context, p *part) error {
	failed := &ModuleError{Module: m.job.name, Of: m.of, Where: m.job.where, Want: m.sum}
	for _, proxy := range proxies(m.job.s.goProxy()) {
		err := proxy.load(ctx, m, p)
		switch {
		case err == nil:
			return p.commit(m.job.final, m.job.s.Modules)
		case ctx.Err() != nil:
			return fmt.Errorf("fetch %s: %w", m.job.name, context.Cause(ctx))
		case isStoreError(err):
			return err
		}
		failed.Tried = append(failed.Tried, Attempt{Place: proxy.label(), Err: err})
		failed.Bad = failed.Bad || errors.As(err, new(*sumError))
		if err := p.reset(); err != nil {
			return err
		}
		if !proxy.goOn(err) {
			break
		}
	}
	return failed
}
