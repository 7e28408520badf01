// payload: the contents of the files of an RPM, which follow its headers.

package rpm

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"

	"github.com/cavaliergopher/cpio"

	"buildsys/internal/archive"
)

// Contents is what the contents of an RPM's files say.
type Contents struct {
	SHA1 map[string]string // of each file's contents, by their SHA-256
	// Texts are the contents of the files that are licences, by their SHA-256: those that are not
	// longer than maxText.
	Texts map[string]string
	// Programs are what was built into programs by Go.
	Programs []*debug.BuildInfo
}

const (
	maxText    = 256 << 10
	maxProgram = 256 << 20 // bytes of a program that is looked into
	// maxPayload bounds all contents of an RPM: those of the largest packages have two GiB.
	maxPayload = 16 << 30
	maxArchive = 8 << 10 // bytes of the archive for each file: its name, and padding
)

// ReadContents reads the RPM at the beginning of in to its end: what its header says, and what
// the contents of its files say. Contents that do not match the header are an error.
func ReadContents(in io.Reader) (Info, Header, Contents, error) {
	var head bytes.Buffer // the headers are read twice: for their end, and for what they say
	if err := copyHeaders(&head, in); err != nil {
		return Info{}, nil, Contents{}, err
	}
	h, err := Read(bytes.NewReader(head.Bytes()))
	if err != nil {
		return Info{}, nil, Contents{}, err
	}
	info, err := ReadInfo(bytes.NewReader(head.Bytes()))
	if err != nil {
		return info, h, Contents{}, err
	}
	c := Contents{SHA1: map[string]string{}, Texts: map[string]string{}}
	licences, limit := map[string]bool{}, int64(maxArchive)
	for _, f := range info.Files {
		limit += min(max(f.Size, 0), maxPayload) + maxArchive
		if f.License {
			licences[f.Path] = true
		}
	}
	payload, err := archive.Decompress(in)
	if err == nil {
		err = c.read(payload, licences, min(limit, maxPayload))
		payload.Close()
	}
	if err != nil {
		return info, h, c, fmt.Errorf("%s: its files: %w", info.Name, err)
	}
	return info, h, c, c.check(info)
}

// copyHeaders copies the lead and both headers.
func copyHeaders(to *bytes.Buffer, in io.Reader) error {
	r := io.TeeReader(in, to)
	if _, err := io.CopyN(io.Discard, r, leadSize); err != nil {
		return errors.New("it is not an RPM")
	}
	for section := range 2 {
		count, size, err := readIntro(r)
		if err != nil {
			return err
		}
		rest := count*indexSize + size
		if section == 0 {
			rest += -size & 7
		}
		if _, err := io.CopyN(io.Discard, r, rest); err != nil {
			return errCutOff
		}
	}
	return nil
}

// read reads the archive in a payload.
func (c *Contents) read(in io.Reader, licences map[string]bool, limit int64) error {
	limited := &io.LimitedReader{R: in, N: limit}
	files := cpio.NewReader(limited)
	for {
		entry, err := files.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil && limited.N <= 0 {
			err = errors.New("they have more bytes than its header says")
		}
		if err != nil {
			return err
		}
		if entry.Mode&cpio.FileMode(0o170000) != 0o100000 || entry.Size < 0 {
			continue
		}
		path := "/" + strings.TrimLeft(strings.TrimPrefix(entry.Name, "."), "/")
		if err := c.file(files, entry.Size, licences[path]); err != nil {
			return err
		}
	}
}

// file reads one file.
func (c *Contents) file(in io.Reader, size int64, license bool) error {
	one, two := sha1.New(), sha256.New()
	begin := make([]byte, min(size, 4))
	if _, err := io.ReadFull(in, begin); err != nil {
		return errCutOff
	}
	var keep bytes.Buffer
	sinks := []io.Writer{one, two}
	program := string(begin) == "\x7fELF" && size <= maxProgram
	if program || license && size <= maxText {
		sinks = append(sinks, &keep)
	}
	all := io.MultiReader(bytes.NewReader(begin), in)
	if n, err := io.Copy(io.MultiWriter(sinks...), all); err != nil || n != size {
		return errCutOff
	}
	sum := hex.EncodeToString(two.Sum(nil))
	c.SHA1[sum] = hex.EncodeToString(one.Sum(nil))
	if license && size <= maxText {
		c.Texts[sum] = keep.String()
	}
	if program {
		if info := programOf(keep.Bytes()); info != nil {
			c.Programs = append(c.Programs, info)
		}
	}
	return nil
}

// programOf returns what Go built into a program; nil if it is none of Go. The reader of ELF files
// says of itself that it is not made for files of adversaries.
func programOf(data []byte) (info *debug.BuildInfo) {
	defer func() {
		if recover() != nil {
			info = nil
		}
	}()
	info, err := buildinfo.Read(bytes.NewReader(data))
	if err != nil {
		return nil
	}
	return info
}

// check returns an error unless there are contents for all files of the header. Of hard links only
// one has any in the payload.
func (c *Contents) check(info Info) error {
	for _, f := range info.Files {
		if f.Mode&0o170000 != 0o100000 || f.Ghost {
			continue
		}
		if f.SHA256 == "" {
			return fmt.Errorf("%s: its header has no SHA-256 of %.200q", info.Name, f.Path)
		}
		if c.SHA1[f.SHA256] == "" {
			return fmt.Errorf("%s: the contents of %.200q are not those that its header names",
				info.Name, f.Path)
		}
	}
	return nil
}

// First returns the first value of a tag, or "".
func (h Header) First(tag int) string { return h.value(tag, 0) }
