// entry: the result of an action, as text with a checksum.

package cache

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// File is one output of a step.
type File struct {
	Name   string      // slash path below the output directory
	Mode   fs.FileMode // 0o644 or 0o755; 0 for a symbolic link
	Size   int64       // bytes; 0 for a symbolic link
	SHA256 [32]byte    // zero for a symbolic link
	// Link is the target of a symbolic link, relative and inside the outputs; empty for a regular
	// file.
	Link string
}

// Blob identifies stored bytes. The zero value is no blob.
type Blob struct {
	SHA256 [32]byte
	Size   int64
}

// IsZero reports whether b is no blob.
func (b Blob) IsZero() bool { return b == Blob{} }

// Entry is the result of one action.
type Entry struct {
	Action     ActionID
	Step       string    // "package/bash x86_64"
	Content    ContentID // of Files
	Files      []File    // sorted by Name
	Log        Blob      // output of the step while it ran
	Took       time.Duration
	Built      time.Time // UTC; for people only
	Transcript string    // text whose hash is Action
	// Origin is the remote cache that it came from; empty if it was built on this machine, or
	// FromObjects.
	Origin string
	// Packages returns those whose digest is in the Transcript, sorted by name; nil if unknown.
	// Only Provenance uses it; it is not stored.
	Packages func() []Package
}

// FromObjects is the Origin of what was built on this machine with objects that compilers had made
// in earlier builds, here or elsewhere.
const FromObjects = "compiled objects"

// Here reports whether the result was built on this machine.
func (e Entry) Here() bool { return e.Origin == "" || e.Origin == FromObjects }

// ContentOf returns the content ID of files, which must be sorted by name. It covers names, execute
// bits, sizes, hashes and link targets, but no times, owners or directories.
func ContentOf(files []File) ContentID {
	var text []byte
	for _, f := range files {
		text = appendFileLine(text, f)
	}
	return ContentID(sha256.Sum256(text))
}

func appendFileLine(to []byte, f File) []byte {
	if f.Link != "" {
		to = append(to, "link "...)
		to = append(to, word(f.Name)...)
		to = append(to, ' ')
		to = append(to, word(f.Link)...)
		return append(to, '\n')
	}
	to = append(to, "file "...)
	to = append(to, word(f.Name)...)
	to = append(to, " 0"...)
	to = strconv.AppendUint(to, uint64(f.Mode), 8)
	to = append(to, ' ')
	to = strconv.AppendInt(to, f.Size, 10)
	to = append(to, ' ')
	to = hex.AppendEncode(to, f.SHA256[:])
	return append(to, '\n')
}

const (
	entryHeader = "buildsys entry 1\n"
	// takenHeader begins an entry with an origin: programs that predate origins must not take it
	// for their own.
	takenHeader = "buildsys entry 2\n"
	sumLabel    = "sum "
	sumLength   = len(sumLabel) + 2*sha256.Size + 1
	maxEntry    = 64 << 20 // bytes; Put writes no larger entry
)

// encode returns e as text whose last line is the sha256 of the text before it.
func (e Entry) encode() []byte {
	var t Transcript
	if e.Origin == "" {
		t.text = append(t.text, entryHeader...)
	} else {
		t.text = append(t.text, takenHeader...)
		t.Add("origin", e.Origin)
	}
	t.Add("action", e.Action.String())
	t.Add("step", e.Step)
	t.Add("content", e.Content.String())
	t.Add("log", hex.EncodeToString(e.Log.SHA256[:]), strconv.FormatInt(e.Log.Size, 10))
	t.Add("took", strconv.FormatInt(int64(e.Took), 10))
	t.Add("built", strconv.FormatInt(e.Built.UnixNano(), 10))
	t.Add("files", strconv.Itoa(len(e.Files)))
	for _, f := range e.Files {
		t.text = appendFileLine(t.text, f)
	}
	t.Add("transcript", strconv.Itoa(len(e.Transcript)))
	t.text = append(t.text, e.Transcript...)
	return appendSum(t.String())
}

func appendSum(text string) []byte {
	data := make([]byte, 0, len(text)+sumLength)
	data = append(data, text...)
	sum := sha256.Sum256(data)
	data = append(data, sumLabel...)
	data = hex.AppendEncode(data, sum[:])
	return append(data, '\n')
}

// checkSum checks and removes the last line, which appendSum wrote.
func checkSum(data []byte) (string, error) {
	if len(data) < sumLength {
		return "", errors.New("it is cut off")
	}
	text, line := data[:len(data)-sumLength], data[len(data)-sumLength:]
	sum := sha256.Sum256(text)
	if string(line) != sumLabel+hex.EncodeToString(sum[:])+"\n" {
		return "", errors.New("its checksum is wrong")
	}
	return string(text), nil
}

// decodeEntry reads what encode wrote and refuses anything else.
func decodeEntry(data []byte) (Entry, error) {
	text, err := checkSum(data)
	if err != nil {
		return Entry{}, err
	}
	rest, built := strings.CutPrefix(text, entryHeader)
	rest, taken := strings.CutPrefix(rest, takenHeader)
	if built == taken {
		return Entry{}, errors.New("it is not an entry of a known format")
	}
	p := parser{rest: rest}
	var e Entry
	if taken {
		if e.Origin = p.line("origin", 1)[0]; e.Origin == "" {
			p.fail("its origin is empty")
		}
	}
	p.hash((*[32]byte)(&e.Action), p.line("action", 1)[0])
	e.Step = p.line("step", 1)[0]
	p.hash((*[32]byte)(&e.Content), p.line("content", 1)[0])
	log := p.line("log", 2)
	p.hash(&e.Log.SHA256, log[0])
	e.Log.Size = p.number(log[1])
	e.Took = time.Duration(p.number(p.line("took", 1)[0]))
	e.Built = time.Unix(0, p.number(p.line("built", 1)[0])).UTC()
	for n := p.number(p.line("files", 1)[0]); n > 0 && p.err == nil; n-- {
		e.Files = append(e.Files, p.file())
	}
	if n := p.number(p.line("transcript", 1)[0]); n != int64(len(p.rest)) {
		p.fail("its transcript has the wrong length")
	}
	e.Transcript = p.rest
	if p.err != nil {
		return Entry{}, p.err
	}
	return e, e.Check()
}

// Check returns an error unless e has the properties that all users of entries rely on.
func (e Entry) Check() error {
	if e.Content != ContentOf(e.Files) {
		return errors.New("its content ID is wrong")
	}
	for i, f := range e.Files {
		if !filepath.IsLocal(f.Name) || path.Clean(f.Name) != f.Name || f.Name == "." {
			return fmt.Errorf("the name %q is not below the outputs", f.Name)
		}
		if i > 0 && e.Files[i-1].Name >= f.Name {
			return fmt.Errorf("the name %q is out of order", f.Name)
		}
		if f.Link != "" && !localLink(f.Name, f.Link) {
			return fmt.Errorf("the link %q leaves the outputs", f.Name)
		}
	}
	return CheckFiles(e.Files)
}

// parser reads labelled lines and keeps the first error.
type parser struct {
	rest string
	err  error
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

// line returns the n values of the next line, which must have the given label. After an error the
// values are empty.
func (p *parser) line(label string, n int) []string {
	line, rest, ok := strings.Cut(p.rest, "\n")
	words, err := parseLine(line)
	if !ok || err != nil || len(words) != n+1 || words[0] != label {
		p.fail("the line %q is missing", label)
	}
	if p.err != nil {
		return make([]string, n)
	}
	p.rest = rest
	return words[1:]
}

func (p *parser) file() File {
	if strings.HasPrefix(p.rest, "link ") {
		words := p.line("link", 2)
		if words[1] == "" {
			p.fail("the link %q has no target", words[0])
		}
		return File{Name: words[0], Link: words[1]}
	}
	words := p.line("file", 4)
	f := File{Name: words[0], Size: p.number(words[2])}
	switch words[1] {
	case "0644":
		f.Mode = 0o644
	case "0755":
		f.Mode = 0o755
	default:
		p.fail("the mode %q is unknown", words[1])
	}
	p.hash(&f.SHA256, words[3])
	return f
}

func (p *parser) hash(into *[32]byte, text string) {
	if p.err == nil {
		p.err = parseHash(into, text)
	}
}

func (p *parser) number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != text {
		p.fail("%q is not a number", text)
	}
	return n
}
