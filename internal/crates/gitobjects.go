// gitobjects: the objects of one commit in a file, as "git cat-file --batch" writes them, held to
// their IDs.

package crates

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"buildsys/internal/ctxio"
	"buildsys/internal/safetext"
)

// Limits of one repository.
const (
	MaxObjects = 2 << 30 // bytes of the file with the objects of a commit
	maxObjects = 400_000
	maxTrees   = 64 << 20 // bytes of all trees, which are kept in memory
	maxCommit  = 1 << 20
	maxHeader  = 128
	maxTarget  = 4096 // bytes of what a symbolic link leads to
	maxLinks   = 40   // links on the way to one file
	maxSteps   = 1000 // names on that way
)

// Repo has the files of a commit.
type Repo struct {
	commit string
	file   io.ReaderAt
	blobs  map[string]span
	trees  map[string][]treeEntry
	root   string // ID of the top tree

	packages  map[string][]packageFile // by name; nil: not looked for yet
	manifests map[string]table         // by directory; workspaces of those that have been read
	read      int                      // bytes of manifests
}

// span is where the contents of an object are in the file.
type span struct{ at, size int64 }

// treeEntry is a name in a tree.
type treeEntry struct {
	name string
	kind entryKind
	id   string // of a tree or blob
}

// entryKind is a mode in a tree.
type entryKind string

const (
	kindDir     entryKind = "40000"
	kindFile    entryKind = "100644"
	kindExec    entryKind = "100755"
	kindShared  entryKind = "100664" // of old programs
	kindLink    entryKind = "120000"
	kindGitlink entryKind = "160000" // a submodule
)

// OpenRepo reads the objects of a commit in a file of a size. The commit's ID stands for all of
// them: what has another ID than it should have, or is missing, is an error.
func OpenRepo(ctx context.Context, file io.ReaderAt, size int64, commit string) (*Repo, error) {
	r := &Repo{commit: commit, file: file, blobs: map[string]span{}, trees: map[string][]treeEntry{},
		manifests: map[string]table{}}
	if size > MaxObjects {
		return nil, fmt.Errorf("commit %s has more than %d MiB", commit, MaxObjects>>20)
	}
	in := &objectReader{idSize: len(commit),
		in: bufio.NewReaderSize(ctxio.NewReader(ctx, io.NewSectionReader(file, 0, size)), windowMax)}
	for n := 0; ; n++ {
		err := r.next(in)
		if err == io.EOF {
			break
		}
		if err == nil && n == maxObjects {
			err = fmt.Errorf("there are more than %d", maxObjects)
		}
		if err != nil {
			return nil, fmt.Errorf("objects of commit %s: %w", commit, err)
		}
	}
	if r.root == "" {
		return nil, fmt.Errorf("objects of commit %s: the commit is missing", commit)
	}
	if err := r.complete(r.root, map[string]bool{}, 0); err != nil {
		return nil, fmt.Errorf("objects of commit %s: %w", commit, err)
	}
	return r, nil
}

// objectReader reads a sequence of objects.
type objectReader struct {
	in     *bufio.Reader
	at     int64
	idSize int // of hex digits
	trees  int64
}

// next reads one object; io.EOF means that there is none.
func (r *Repo) next(in *objectReader) error {
	id, kind, size, err := in.header()
	if err != nil {
		return err
	}
	limit := map[string]int64{"commit": maxCommit, "tree": maxTrees - in.trees,
		"blob": MaxObjects}[kind]
	if size > limit {
		return fmt.Errorf("a %s of %d bytes is too large, or no part of a commit", kind, size)
	}
	sum := in.hash()
	fmt.Fprintf(sum, "%s %d\x00", kind, size)
	var data bytes.Buffer
	to := io.Writer(sum)
	if kind != "blob" {
		to = io.MultiWriter(sum, &data)
	}
	if _, err := io.CopyN(to, in.in, size); err != nil {
		return fmt.Errorf("object %s: %w", id, noEOF(err))
	}
	if end, err := in.in.ReadByte(); err != nil || end != '\n' {
		return fmt.Errorf("object %s has no end", id)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != id {
		return fmt.Errorf("an object has the ID %s instead of %s", got, id)
	}
	switch kind {
	case "blob":
		r.blobs[id] = span{in.at, size}
	case "tree":
		in.trees += size
		r.trees[id], err = parseTree(data.Bytes(), in.idSize/2)
	case "commit":
		err = r.parseCommit(id, data.String(), in.idSize)
	}
	in.at += size + 1
	return err
}

func (o *objectReader) hash() hash.Hash {
	if o.idSize == 2*sha256.Size {
		return sha256.New()
	}
	return sha1.New() // git itself has looked for collisions when it received the objects
}

// header reads "ID KIND SIZE".
func (o *objectReader) header() (id, kind string, size int64, err error) {
	var text []byte
	for len(text) < maxHeader {
		b, err := o.in.ReadByte()
		if err == io.EOF && len(text) == 0 {
			return "", "", 0, io.EOF
		}
		if err != nil {
			return "", "", 0, noEOF(err)
		}
		if b == '\n' {
			break
		}
		text = append(text, b)
	}
	o.at += int64(len(text)) + 1
	words := strings.Split(string(text), " ")
	if len(words) == 3 {
		size, err = strconv.ParseInt(words[2], 10, 64)
	}
	if len(words) != 3 || err != nil || size < 0 || len(words[0]) != o.idSize {
		return "", "", 0, fmt.Errorf("%s is not the head of an object", safetext.Line(string(text)))
	}
	return words[0], words[1], size, nil
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// parseCommit takes the ID of the tree of the commit; others do not count.
func (r *Repo) parseCommit(id, text string, idSize int) error {
	if id != r.commit {
		return nil
	}
	tree, ok := strings.CutPrefix(text, "tree ")
	if !ok || len(tree) < idSize {
		return errors.New("the commit has no tree")
	}
	r.root = tree[:idSize]
	return nil
}

// parseTree reads a tree: "MODE NAME", a zero byte and an ID, again and again.
func parseTree(data []byte, idSize int) (list []treeEntry, err error) {
	names, last := map[string]bool{}, ""
	for len(data) > 0 {
		head, rest, ok := bytes.Cut(data, []byte{0})
		mode, name, named := strings.Cut(string(head), " ")
		if !ok || !named || len(rest) < idSize {
			return nil, errors.New("a tree is damaged")
		}
		e := treeEntry{name: name, kind: entryKind(strings.TrimLeft(mode, "0")),
			id: hex.EncodeToString(rest[:idSize])}
		switch e.kind {
		case kindDir, kindFile, kindExec, kindShared, kindLink, kindGitlink:
		default:
			return nil, fmt.Errorf("%q has the mode %q", shorten(name), shorten(mode))
		}
		if names[name] || e.key() <= last {
			return nil, fmt.Errorf("a directory has %q twice, or not in order", shorten(name))
		}
		names[name], last = true, e.key()
		list, data = append(list, e), rest[idSize:]
	}
	return list, nil
}

// complete returns an error unless all that a tree names is there.
func (r *Repo) complete(id string, known map[string]bool, depth int) error {
	list, ok := r.trees[id]
	if !ok {
		return fmt.Errorf("the tree %s is missing", id)
	}
	if depth > maxParts {
		return fmt.Errorf("there are more than %d directories in one another", maxParts)
	}
	known[id] = true
	for _, e := range list {
		switch e.kind {
		case kindGitlink:
		case kindDir:
			if !known[e.id] {
				if err := r.complete(e.id, known, depth+1); err != nil {
					return err
				}
			}
		default:
			if _, ok := r.blobs[e.id]; !ok {
				return fmt.Errorf("the contents %s of %q are missing", e.id, shorten(e.name))
			}
		}
	}
	return nil
}

// open returns the contents of a file.
func (r *Repo) open(e treeEntry) *io.SectionReader {
	s := r.blobs[e.id]
	return io.NewSectionReader(r.file, s.at, s.size)
}

// read returns the contents of a file of at most max bytes.
func (r *Repo) content(e treeEntry, max int64) ([]byte, error) {
	if size := r.blobs[e.id].size; size > max {
		return nil, fmt.Errorf("has %d bytes, more than %d", size, max)
	}
	return io.ReadAll(r.open(e))
}

// key is what the entries of a tree are sorted by.
func (e treeEntry) key() string {
	if e.kind == kindDir {
		return e.name + "/"
	}
	return e.name
}

// child returns what has a name in a directory.
func (r *Repo) child(dir treeEntry, name string) (treeEntry, bool) {
	list := r.trees[dir.id]
	for _, key := range []string{name, name + "/"} {
		i, found := slices.BinarySearchFunc(list, key, func(e treeEntry, key string) int {
			return strings.Compare(e.key(), key)
		})
		if found && list[i].name == name {
			return list[i], true
		}
	}
	return treeEntry{}, false
}

func (r *Repo) top() treeEntry { return treeEntry{kind: kindDir, id: r.root} }

// errElsewhere means that a name leads out of the repository, to nothing, or round in a circle.
var errElsewhere = errors.New("leads out of the repository or to nothing")

// resolve returns what is at a path in the repository, and where that really is: symbolic links on
// the way are followed, inside the repository only.
func (r *Repo) resolve(name string) (e treeEntry, real string, err error) {
	todo := strings.Split(name, "/")
	entries, names := []treeEntry{r.top()}, []string{}
	for links, steps := 0, 0; len(todo) > 0; steps++ {
		part := todo[0]
		todo = todo[1:]
		last := entries[len(entries)-1]
		switch {
		case part == "" || part == ".":
			continue
		case last.kind != kindDir || steps > maxSteps:
			return e, "", errElsewhere
		case part == "..":
			if len(names) == 0 {
				return e, "", errElsewhere
			}
			entries, names = entries[:len(entries)-1], names[:len(names)-1]
			continue
		}
		next, ok := r.child(last, part)
		if !ok {
			return e, "", errElsewhere
		}
		if next.kind == kindLink {
			target, err := r.content(next, maxTarget)
			if links++; err != nil || links > maxLinks || path.IsAbs(string(target)) {
				return e, "", errElsewhere
			}
			todo = append(strings.Split(string(target), "/"), todo...)
			continue
		}
		entries, names = append(entries, next), append(names, part)
	}
	return entries[len(entries)-1], strings.Join(names, "/"), nil
}
