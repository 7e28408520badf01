// extract: takes files out of an image, into a directory that it never leaves.

package contents

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"buildsys/internal/confined"
	"buildsys/internal/errkind"
	"buildsys/internal/image"
)

// Extraction is what to take out of an image.
type Extraction struct {
	From  image.Walked // a file, or a directory with all below it
	To    string       // a directory, which is made if it is missing
	Force bool         // replace files that exist
	Warn  func(string) // of what is left out
}

// Extracted counts what was taken out.
type Extracted struct {
	Files, Directories, Links int
	Bytes                     int64
}

// maxExtracted bounds the bytes that are written, without holes.
const maxExtracted = 1 << 40

// Extract takes files out. A directory's contents go to To itself; a single file goes into To under
// its name. Files belong to the caller and have no set-user-ID, set-group-ID or sticky bit.
// Symbolic links are made as they are, but none is followed. Devices, FIFOs and sockets are left
// out.
func (p *Part) Extract(ctx context.Context, x Extraction) (Extracted, error) {
	root, err := (confined.Path{Name: x.To}).MakeDir()
	if err != nil {
		return Extracted{}, errkind.BadEnvironment(err)
	}
	defer root.Close()
	e := extractor{ctx: ctx, p: p, x: x, root: root, left: maxExtracted, several: map[uint64]bool{}}
	strip := x.From.Path
	if x.From.Type() != image.ModeDir {
		strip = path.Dir(x.From.Path)
	}
	e.strip = strings.TrimSuffix(strip, "/") + "/"
	err = image.Walk(p.Files, x.From.Inode, strings.TrimSuffix(x.From.Path, "/"), true, e.file)
	for i := len(e.modes) - 1; i >= 0 && err == nil; i-- { // a directory may not be writable
		err = root.Chmod(e.modes[i].name, e.modes[i].mode)
	}
	e.warn()
	return e.done, p.fault(ctx, err)
}

// fault gives an error its kind: of this machine if its files are at fault, else of the image.
func (p *Part) fault(ctx context.Context, err error) error {
	_, system := errors.AsType[*fs.PathError](err)
	switch {
	case err == nil, errkind.Of(err) != errkind.Unexpected:
		return err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case system:
		return errkind.BadEnvironment(err)
	}
	return &image.BadImageError{Faults: []error{fmt.Errorf("partition %s: %w", p.Title(), err)}}
}

// warn tells what was lost.
func (e *extractor) warn() {
	for _, one := range []struct {
		n    int
		text string
	}{
		{e.others - maxNamed, "%d more devices, FIFOs and sockets were left out"},
		{e.bits, "%d files lost their set-user-ID, set-group-ID or sticky bit"},
		{e.attributes, "%d files lost their extended attributes, such as capabilities"},
		{e.hard, "%d hard links became files of their own"},
	} {
		if one.n > 0 {
			e.x.Warn(fmt.Sprintf(one.text, one.n))
		}
	}
}

type extractor struct {
	ctx    context.Context
	p      *Part
	x      Extraction
	root   *os.Root
	strip  string
	left   int64
	done   Extracted
	others int // devices and the like
	bits   int
	// attributes is the number of files that have some, hard that of names for files that had one.
	attributes, hard int
	several          map[uint64]bool // files with several names
	modes            []dirMode
}

type dirMode struct {
	name string
	mode fs.FileMode
}

// maxNamed is how many files that are left out are warned of one by one.
const maxNamed = 20

func (e *extractor) file(w image.Walked) error {
	if e.ctx.Err() != nil {
		return context.Cause(e.ctx)
	}
	name := strings.TrimPrefix(w.Path+"/", e.strip)
	name = strings.TrimSuffix(name, "/")
	if name == "" {
		return nil // the directory itself
	}
	if w.Mode&0o7000 != 0 && w.Type() != image.ModeLink {
		e.bits++
	}
	if all, err := e.p.Files.Attributes(w.Inode); err != nil || len(all) > 0 {
		e.attributes++
	}
	mode := fs.FileMode(w.Mode & 0o777)
	switch w.Type() {
	case image.ModeDir:
		return e.directory(name, mode)
	case image.ModeLink:
		return e.link(name, w.Target)
	case image.ModeRegular:
		return e.regular(name, w, mode)
	}
	if e.others++; e.others <= maxNamed {
		e.x.Warn(fmt.Sprintf("%s is %s: left out", w.Path, TypeName(w.Mode)))
	}
	return nil
}

// directory makes a directory. One that exists is used as it is.
func (e *extractor) directory(name string, mode fs.FileMode) error {
	err := e.root.Mkdir(name, 0o700)
	if errors.Is(err, fs.ErrExist) {
		info, err := e.root.Lstat(name)
		switch {
		case err != nil:
			return errkind.BadEnvironment(err)
		case info.IsDir():
			return nil
		}
		return e.exists(name)
	}
	if err != nil {
		return errkind.BadEnvironment(err)
	}
	e.modes = append(e.modes, dirMode{name, mode})
	e.done.Directories++
	return nil
}

// exists returns the error for a place where something is.
func (e *extractor) exists(name string) error {
	return errkind.Usagef("%s exists: --force replaces files and links, but no directories, and "+
		"puts no directory in the place of a file", filepath.Join(e.x.To, name))
}

// clear makes room for a file. Without --force, something that exists is an error.
func (e *extractor) clear(name string) error {
	info, err := e.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return errkind.BadEnvironment(err)
	case info.IsDir() || !e.x.Force:
		return e.exists(name)
	}
	return e.root.Remove(name)
}

func (e *extractor) link(name, target string) error {
	if err := e.clear(name); err != nil {
		return err
	}
	if err := e.root.Symlink(target, name); err != nil {
		return errkind.BadEnvironment(err)
	}
	e.done.Links++
	return nil
}

func (e *extractor) regular(name string, w image.Walked, mode fs.FileMode) error {
	if err := e.clear(name); err != nil {
		return err
	}
	f, err := e.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return errkind.BadEnvironment(err)
	}
	out := &sparse{f: f, ctx: e.ctx, left: &e.left}
	err = e.p.Files.Copy(out, w.Inode)
	if err == nil {
		err = f.Truncate(out.at) // a hole at the end
	}
	if err == nil {
		err = f.Chmod(mode)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("%s: %w", w.Path, errors.Join(err, e.root.Remove(name)))
	}
	when := time.Unix(w.Time, 0)
	if err := e.root.Chtimes(name, when, when); err != nil {
		return errkind.BadEnvironment(err)
	}
	e.done.Files++
	e.done.Bytes += w.Size
	if w.Links > 1 {
		if e.several[w.Number] {
			e.hard++
		}
		e.several[w.Number] = true
	}
	return nil
}

// sparse is a Sink that leaves holes in a file.
type sparse struct {
	f    *os.File
	ctx  context.Context
	at   int64
	left *int64
}

func (s *sparse) Write(b []byte) (int, error) {
	if s.ctx.Err() != nil {
		return 0, context.Cause(s.ctx)
	}
	if *s.left -= int64(len(b)); *s.left < 0 {
		return 0, fmt.Errorf("more than %d GiB come out of the image: it is damaged", maxExtracted>>30)
	}
	n, err := s.f.WriteAt(b, s.at)
	s.at += int64(n)
	return n, err
}

// Hole implements image.Sink.
func (s *sparse) Hole(n int64) error {
	s.at += n
	return nil
}

// TypeName returns what a file is: "a FIFO".
func TypeName(mode uint16) string {
	switch mode & image.ModeType {
	case image.ModeRegular:
		return "a file"
	case image.ModeDir:
		return "a directory"
	case image.ModeLink:
		return "a symbolic link"
	case image.ModeFIFO:
		return "a FIFO"
	case image.ModeSocket:
		return "a socket"
	case image.ModeChar, image.ModeBlock:
		return "a device"
	}
	return "of an unknown type"
}

// ModeText returns a mode as ls(1) shows it.
func ModeText(mode uint16) string {
	text := []byte("?rwxrwxrwx")
	if kind, ok := map[uint16]byte{image.ModeRegular: '-', image.ModeDir: 'd', image.ModeLink: 'l',
		image.ModeFIFO: 'p', image.ModeSocket: 's', image.ModeChar: 'c',
		image.ModeBlock: 'b'}[mode&image.ModeType]; ok {
		text[0] = kind
	}
	for i := range 9 {
		if mode&(1<<(8-i)) == 0 {
			text[1+i] = '-'
		}
	}
	for _, bit := range []struct {
		mask  uint16
		at    int
		set   byte
		alone byte // without the right to execute
	}{{0o4000, 3, 's', 'S'}, {0o2000, 6, 's', 'S'}, {0o1000, 9, 't', 'T'}} {
		if mode&bit.mask != 0 {
			if text[bit.at] == 'x' {
				text[bit.at] = bit.set
			} else {
				text[bit.at] = bit.alone
			}
		}
	}
	return string(text)
}
