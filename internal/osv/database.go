// database: reads the files of a database, several at once, and keeps only what is found.

package osv

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"buildsys/internal/archive"
	"buildsys/internal/confined"
	"buildsys/internal/errkind"
	"buildsys/internal/safetext"
)

// The ecosystems whose names and versions are known here. Git is for upstream's repositories, by
// URL and tag; the format has no name for it.
const (
	Go     = "Go"
	Crates = "crates.io"
	Git    = "git"
)

// The names that the Go project's database has for what is no module.
const (
	Stdlib    = "stdlib"
	Toolchain = "toolchain"
)

// Subject is something of which a database may know faults.
type Subject struct {
	Ecosystem string
	Name      string
	Version   string
}

// Hit is a subject that an entry affects.
type Hit struct {
	Subject       int // its index
	ID            string
	Aliases       []string
	Summary       string
	Severity      string
	Informational string   // "unmaintained": it is no fault
	Fixed         []string // versions that have it no longer, from the oldest
}

// Note is something that was not compared: why, how often, and some examples.
type Note struct {
	Why      string   `json:"why"`
	Count    int      `json:"count"`
	Examples []string `json:"examples"`
}

// Result is what databases say.
type Result struct {
	Entries   int // that were read
	Withdrawn int // of them
	Elsewhere int // are about other systems than Linux
	Hits      []Hit
	Notes     []Note // sorted
}

// The bounds of a database.
const (
	maxEntry   = 8 << 20   // bytes of a file
	bigEntry   = 256 << 10 // one of this size is read at a time
	maxTotal   = 8 << 30   // bytes of all files
	maxFiles   = 1 << 20
	maxDepth   = 16 // directories within each other
	maxHits    = 100_000
	maxReasons = 200 // kinds of notes
	maxShown   = 5   // examples of a note
	maxAliases = 50  // that a hit has
)

type key struct{ ecosystem, name string }

// Matcher compares the entries of databases with subjects.
type Matcher struct {
	subjects []Subject
	index    map[key][]int
	known    map[string]bool // ecosystems of subjects

	big    sync.Mutex // held for a large entry
	mu     sync.Mutex // for what follows
	result Result
	notes  map[string]*Note
	files  int
	bytes  int64
}

// NewMatcher returns a matcher for subjects. Zero ones are never found.
func NewMatcher(subjects []Subject) *Matcher {
	m := &Matcher{subjects: subjects, index: map[key][]int{}, notes: map[string]*Note{},
		known: map[string]bool{}}
	for i, s := range subjects {
		if s == (Subject{}) { // no database knows it
			continue
		}
		k := key{s.Ecosystem, s.Name}
		m.index[k] = append(m.index[k], i)
		m.known[s.Ecosystem] = true
	}
	return m
}

// file is one file of a database, with what it has.
type file struct {
	name string
	data []byte
}

// Read compares a database: a directory with entries as .json files and .zip files of them, at any
// depth, or one .zip file or other archive. The caller names it; no symbolic link in it is
// followed.
func (m *Matcher) Read(ctx context.Context, at string) error {
	before := m.files
	group, ctx := errgroup.WithContext(ctx)
	files := make(chan file)
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() error {
			for f := range files {
				if err := m.entry(f); err != nil {
					return err
				}
			}
			return nil
		})
	}
	group.Go(func() error {
		defer close(files)
		info, err := os.Stat(at)
		switch {
		case err != nil:
			return errkind.BadEnvironment(err)
		case info.IsDir():
			return m.directory(ctx, at, files)
		}
		return m.archive(ctx, at, "", files)
	})
	if err := group.Wait(); err != nil {
		return fmt.Errorf("database %s: %w", safetext.Line(at), err)
	}
	if m.files == before {
		return errkind.Environmentf("database %s: it has no .json file", safetext.Line(at))
	}
	return nil
}

// directory reads the files of a directory, a few names at a time.
func (m *Matcher) directory(ctx context.Context, at string, files chan<- file) error {
	root, err := confined.OpenDir(at)
	if err != nil {
		return errkind.BadEnvironment(err)
	}
	defer root.Close()
	return m.below(ctx, root, at, ".", 0, files)
}

func (m *Matcher) below(ctx context.Context, root *os.Root, at, name string, depth int,
	files chan<- file) error {
	if depth > maxDepth {
		m.note("directories are nested too deeply", name)
		return nil
	}
	dir, err := root.Open(name)
	if err != nil {
		return errkind.BadEnvironment(err)
	}
	defer dir.Close()
	for {
		entries, err := dir.ReadDir(1000)
		for _, e := range entries {
			if err := m.one(ctx, root, at, path.Join(name, e.Name()), e, depth, files); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return errkind.BadEnvironment(err)
		}
	}
}

// one reads one name of a directory. Directories named index have lists of entries, and those whose
// names begin with a dot are of version control.
func (m *Matcher) one(ctx context.Context, root *os.Root, at, name string, e fs.DirEntry, depth int,
	files chan<- file) error {
	switch {
	case e.IsDir() && (e.Name() == "index" || strings.HasPrefix(e.Name(), ".")):
		return nil
	case e.IsDir():
		return m.below(ctx, root, at, name, depth+1, files)
	case strings.HasSuffix(name, ".zip") && e.Type().IsRegular():
		return m.archive(ctx, filepath.Join(at, filepath.FromSlash(name)), name+"/", files)
	case !strings.HasSuffix(name, ".json"):
		return nil
	case !e.Type().IsRegular():
		m.note("it is no regular file", name)
		return nil
	}
	data, err := confined.ReadIn(root.FS(), name, maxEntry)
	if err != nil {
		m.note("it cannot be read, or is larger than 8 MiB", name)
		return m.count(0)
	}
	return m.send(ctx, file{name, data}, files)
}

// archive reads the files of an archive. prefix begins their names in notes.
func (m *Matcher) archive(ctx context.Context, at, prefix string, files chan<- file) error {
	err := archive.Walk(ctx, at, func(e archive.Entry) error {
		if !e.Mode.IsRegular() || !strings.HasSuffix(e.Name, ".json") ||
			path.Base(path.Dir(e.Name)) == "index" {
			return nil
		}
		data, err := e.Read(maxEntry)
		if large := new(archive.Error); errors.As(err, &large) {
			m.note("it cannot be read, or is larger than 8 MiB", prefix+e.Name)
			return m.count(maxEntry)
		}
		if err != nil {
			return err
		}
		return m.send(ctx, file{prefix + e.Name, data}, files)
	})
	if err != nil && ctx.Err() == nil {
		err = errkind.BadEnvironment(err)
	}
	return err
}

func (m *Matcher) send(ctx context.Context, f file, files chan<- file) error {
	if err := m.count(int64(len(f.data))); err != nil {
		return err
	}
	select {
	case files <- f:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// count holds a file against the bounds of all.
func (m *Matcher) count(n int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files, m.bytes = m.files+1, m.bytes+n
	switch {
	case m.files > maxFiles:
		return errkind.Environmentf("it has more than %d files", maxFiles)
	case m.bytes > maxTotal:
		return errkind.Environmentf("it has more than %d GiB", maxTotal>>30)
	}
	return nil
}

// entry compares one file with the subjects.
func (m *Matcher) entry(f file) error {
	if len(f.data) > bigEntry {
		m.big.Lock()
		defer m.big.Unlock()
	}
	e, err := parse(f.data)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		why := "it is no JSON of the OSV format"
		if errors.Is(err, errNoEntry) || strings.HasPrefix(err.Error(), "it has ") {
			why = err.Error()
		}
		m.noteLocked(why, f.name)
		return nil
	}
	m.result.Entries++
	if e.Withdrawn != "" {
		m.result.Withdrawn++
		return nil
	}
	m.compare(e)
	if len(m.result.Hits) > maxHits {
		return errkind.Environmentf("its entries affect more than %d things", maxHits)
	}
	return nil
}

// compare compares an entry with the subjects it names.
func (m *Matcher) compare(e *Entry) {
	found := map[int]*Hit{}
	elsewhere := false
	for _, a := range e.Affected {
		if a == nil {
			continue
		}
		subjects := m.named(e, a)
		if len(subjects) > 0 && a.elsewhere() {
			elsewhere = true
			continue
		}
		for _, i := range subjects {
			v, err := a.judge(m.subjects[i])
			if err != nil {
				m.noteLocked("an entry cannot be compared: "+err.Error(),
					e.ID+" with "+m.subjects[i].Name+" "+m.subjects[i].Version)
			}
			if !v.affected {
				continue
			}
			if found[i] == nil {
				found[i] = e.hit(i)
			}
			h := found[i]
			if h.Informational == "" && a.DatabaseSpecific != nil {
				h.Informational = short(string(a.DatabaseSpecific.Informational))
			}
			for _, fix := range v.fixed[:min(len(v.fixed), maxFixes-len(h.Fixed))] {
				h.Fixed = append(h.Fixed, short(fix))
			}
		}
	}
	if elsewhere {
		m.result.Elsewhere++
	}
	for _, h := range found {
		m.result.Hits = append(m.result.Hits, *h)
	}
}

func (e *Entry) hit(i int) *Hit {
	h := &Hit{Subject: i, ID: short(e.ID), Summary: short(e.Summary), Severity: short(e.severity())}
	for _, other := range e.Aliases[:min(len(e.Aliases), maxAliases)] {
		h.Aliases = append(h.Aliases, short(other))
	}
	if e.DatabaseSpecific != nil {
		h.Informational = short(string(e.DatabaseSpecific.Informational))
	}
	return h
}

// maxText bounds a text that is kept of a database, in bytes.
const maxText = 500

// short returns a text, cut off if it is long, that shares no memory with what it is a part of.
func short(text string) string {
	if len(text) > maxText {
		return strings.ToValidUTF8(text[:maxText], "") + "…"
	}
	return strings.Clone(text)
}

// named returns the subjects that an entry names. It notes what there are no subjects of.
func (m *Matcher) named(e *Entry, a *Affected) (subjects []int) {
	whole := a.Package.Ecosystem
	base, _, _ := strings.Cut(whole, ":")
	subjects = append(subjects, m.index[key{whole, a.Package.Name}]...)
	if base != whole {
		subjects = append(subjects, m.index[key{base, a.Package.Name}]...)
	}
	repos := 0
	for _, r := range a.Ranges {
		if r != nil && r.Type == "GIT" && r.Repo != "" {
			repos++
			for _, i := range m.index[key{Git, cleanRepo(r.Repo)}] {
				if !slices.Contains(subjects, i) {
					subjects = append(subjects, i)
				}
			}
		}
	}
	switch {
	case len(subjects) > 0:
	case base == Go && (a.Package.Name == Stdlib || a.Package.Name == Toolchain):
		m.noteLocked("which Go compiles is not known (--go): "+a.Package.Name, e.ID)
	case whole != "" && !m.known[whole] && !m.known[base] && repos == 0:
		m.noteLocked("nothing of the tree is in the ecosystem "+base, e.ID)
	case whole == "" && repos == 0:
		m.noteLocked("an entry names neither an ecosystem nor a repository", e.ID)
	}
	return subjects
}

// cleanRepo returns the address of a repository in the form in which they are compared.
func cleanRepo(url string) string {
	url = strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(url), "/"), ".git")
	_, rest, ok := strings.Cut(url, "://")
	if !ok {
		return url
	}
	return rest
}

// Repo returns the subject of a tag in a repository.
func Repo(url, tag string) Subject { return Subject{Git, cleanRepo(url), tag} }

func (m *Matcher) note(why, example string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.noteLocked(why, example)
}

func (m *Matcher) noteLocked(why, example string) {
	why = safetext.Line(short(why))
	n := m.notes[why]
	if n == nil {
		if len(m.notes) >= maxReasons {
			why = "other reasons"
			n = m.notes[why]
		}
		if n == nil {
			n = &Note{Why: why}
			m.notes[why] = n
		}
	}
	n.Count++
	example = safetext.Line(short(example))
	// Those that sort first are kept, whatever the order in which files are read.
	if at, there := slices.BinarySearch(n.Examples, example); !there && at < maxShown {
		n.Examples = slices.Insert(n.Examples, at, example)
		n.Examples = n.Examples[:min(len(n.Examples), maxShown)]
	}
}

// Result returns what was found so far, in an order of its own.
func (m *Matcher) Result() Result {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.result
	for _, n := range m.notes {
		r.Notes = append(r.Notes, *n)
	}
	slices.SortFunc(r.Notes, func(a, b Note) int { return strings.Compare(a.Why, b.Why) })
	slices.SortFunc(r.Hits, func(a, b Hit) int {
		return cmp.Or(cmp.Compare(a.Subject, b.Subject), strings.Compare(a.ID, b.ID))
	})
	return r
}
