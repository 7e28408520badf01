// find: looks through the store for results, for commands that show what was made.

package cache

import (
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Entries returns the entries of the steps that want accepts, such as "variant/os x86_64", the one
// that was built last first. It records no use. Damaged entries are left out: their users move them
// aside.
func (s *Store) Entries(want func(step string) bool) ([]Entry, error) {
	var found []Entry
	err := s.walk(entriesDir, func(f stored) error {
		head, err := readHead(f.path)
		if err != nil || !want(stepIn(head)) {
			return nil
		}
		data, _, err := readRegular(f.path, maxEntry)
		if err != nil {
			return nil
		}
		e, err := decodeEntry(data)
		if err == nil && e.Action.String() == filepath.Base(f.path) {
			found = append(found, e)
		}
		return nil
	})
	slices.SortStableFunc(found, func(a, b Entry) int { return b.Built.Compare(a.Built) })
	return found, err
}

// readHead returns the beginning of an entry, which has the name of the step.
func readHead(path string) (string, error) {
	f, err := openRegular(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	head := make([]byte, 1<<10)
	n, err := io.ReadFull(f, head)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return string(head[:n]), err
}

// stepIn returns the name of the step from the beginning of an entry.
func stepIn(head string) string {
	for line := range strings.Lines(head) {
		if words, err := parseLine(strings.TrimSuffix(line, "\n")); err == nil && len(words) == 2 &&
			words[0] == "step" {
			return words[1]
		}
	}
	return ""
}

// BlobFile returns the file with stored bytes, after it has checked them. The error wraps
// fs.ErrNotExist if they are not stored.
func (s *Store) BlobFile(b Blob, hash func(name string) ([32]byte, error)) (string, error) {
	f, err := s.OpenBlob(b)
	if err != nil {
		return "", err
	}
	if err := f.Close(); err != nil {
		return "", err
	}
	name := s.blobPath(b.SHA256)
	sum, err := hash(name)
	if err == nil && sum != b.SHA256 {
		return "", &fs.PathError{Op: "read", Path: name, Err: errors.New("its bytes are not those that " +
			"its name says: run buildsys cache verify")}
	}
	return name, err
}

// HasBlob reports whether bytes are stored, by their size.
func (s *Store) HasBlob(b Blob) bool {
	info, err := os.Lstat(s.blobPath(b.SHA256))
	return err == nil && info.Mode().IsRegular() && info.Size() == b.Size
}

// Arg returns a build argument of the step that a transcript is about.
func Arg(transcript, name string) string {
	for line := range strings.Lines(transcript) {
		if !strings.HasPrefix(line, "arg ") {
			continue
		}
		words, err := parseLine(strings.TrimSuffix(line, "\n"))
		if err == nil && len(words) == 3 && words[1] == name {
			return words[2]
		}
	}
	return ""
}

// ActionOf returns the ID of the action that a transcript is of.
func ActionOf(transcript string) ActionID { return ActionID(sha256.Sum256([]byte(transcript))) }

// FileSum returns the hash of a file that the step of a transcript sees, in hex digits, or "".
func FileSum(transcript, context, name string) string {
	for line := range strings.Lines(transcript) {
		if !strings.HasPrefix(line, "file ") {
			continue
		}
		words, err := parseLine(strings.TrimSuffix(line, "\n"))
		if err == nil && len(words) == 5 && words[1] == context && words[2] == name {
			return words[4]
		}
	}
	return ""
}
