// The outputs of a step: where they belong, and what must not be among them.

package builddir

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"buildsys/internal/cache"
	"buildsys/internal/confined"
)

// rpmMagic are the first bytes of every RPM file (rpm format documentation, "Lead").
const rpmMagic = "\xed\xab\xee\xdb"

// Outputs describes where the outputs of a step belong, and what they may be.
type Outputs struct {
	Step  string // its ID, for errors
	Dir   string // replaced whole
	Link  string // name of a link beside Dir that points to it; "" for none
	RPMs  bool   // whether RPMs are among them
	Links bool   // whether there may be symbolic links between them
}

// Linked reports whether the link to the outputs is right; without a link it is.
func (o Outputs) Linked() bool {
	if o.Link == "" {
		return true
	}
	target, err := os.Readlink(filepath.Join(filepath.Dir(o.Dir), o.Link))
	return err == nil && target == filepath.Base(o.Dir)
}

// Check returns an *OutputError if dir holds something that must not be published: no result at
// all, anything but plain files and directories, set-user-ID bits, unusable names, or a file named
// .rpm that is not an RPM.
func (o Outputs) Check(dir string) error {
	root, err := confined.OpenDir(dir)
	if err != nil {
		return &HostError{Step: o.Step, Doing: "read the outputs", Err: err}
	}
	defer root.Close()
	files, rpms := 0, 0
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return &HostError{Step: o.Step, Doing: "read the outputs", Err: err}
		}
		rel, _ := filepath.Rel(dir, path)
		if rel == "." {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return &HostError{Step: o.Step, Doing: "read the outputs", Err: err}
		}
		if reason := cache.BadName(d.Name()); reason != "" {
			return o.bad(rel, "%s", reason)
		}
		if d.IsDir() {
			return nil
		}
		if o.Links && d.Type() == fs.ModeSymlink {
			if err := cache.CheckLink(root, rel); err != nil {
				return o.bad(rel, "it is %v", err)
			}
			return nil
		}
		if !d.Type().IsRegular() {
			return o.bad(rel, "it is not a regular file (%s)", d.Type())
		}
		if info.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
			return o.bad(rel, "it has a set-user-ID or set-group-ID bit (%s)", info.Mode())
		}
		files++
		if !o.RPMs || !strings.HasSuffix(rel, ".rpm") {
			return nil
		}
		rpms++
		return o.checkRPM(path, rel)
	})
	switch {
	case err != nil:
		return err
	case o.RPMs && rpms == 0:
		return o.bad("", "the build left no .rpm file; "+
			"check the spec's %%files and where the recipe puts the outputs")
	case files == 0:
		return o.bad("", "the build left no file")
	}
	return nil
}

// bad refuses the file at path inside the outputs, or all of them for "".
func (o Outputs) bad(path, reason string, args ...any) error {
	reason = fmt.Sprintf(reason, args...)
	return &OutputError{Step: o.Step, Path: filepath.ToSlash(path), Reason: reason}
}

// checkRPM examines the first bytes only; rpm verifies the digests of the contents itself.
func (o Outputs) checkRPM(path, rel string) error {
	f, err := os.Open(path)
	if err != nil {
		return o.bad(rel, "%v", err)
	}
	defer f.Close()
	head := make([]byte, len(rpmMagic))
	if n, err := io.ReadFull(f, head); n == 0 && err == io.EOF {
		return o.bad(rel, "it is empty")
	}
	if !bytes.Equal(head, []byte(rpmMagic)) {
		return o.bad(rel, "it is not an RPM: it begins with % x", head)
	}
	return nil
}
