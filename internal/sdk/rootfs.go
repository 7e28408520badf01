// rootfs: the tar of a root file system as every engine would have made it.

package sdk

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"buildsys/internal/ctxio"
	"buildsys/internal/errkind"
	"buildsys/internal/safetext"
)

// maxNames bounds the bytes of the names in a root file system, of which the files are kept.
const maxNames = 256 << 20

// capability is the attribute that gives a program rights of root, as its header in a tar has it.
const capability = "SCHILY.xattr.security.capability"

// left are the directories of which nothing is kept but themselves: a container has its own.
var left = []string{"dev", "proc", "sys"}

// put are the files that an engine puts into containers.
var put = []string{"etc/hosts", "etc/resolv.conf", "etc/hostname", "etc/mtab"}

// Normalize writes the tar of a root file system without what differs between engines and days. No
// file is newer than epoch. without names a directory that the program was given and that is no
// part of the root.
func Normalize(to io.Writer, from io.Reader, epoch int64, without string) error {
	n := normalizer{to: tar.NewWriter(to), epoch: time.Unix(epoch, 0), without: without,
		files: map[string]bool{}}
	limited := &io.LimitedReader{R: from, N: maxRootfs + 1}
	for t := tar.NewReader(limited); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = n.add(h, t)
		}
		if limited.N == 0 {
			err = errkind.Environmentf("the root file system has more than %d GiB", maxRootfs>>30)
		}
		if err != nil {
			return err
		}
	}
	if n.last == "" {
		return errkind.Environmentf("the engine sent a root file system without files")
	}
	if err := n.to.Close(); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, limited) // the zeros behind the end
	return err
}

type normalizer struct {
	to      *tar.Writer
	epoch   time.Time
	without string
	last    string          // the path that came before
	files   map[string]bool // regular files that were written
	names   int
}

func (n *normalizer) add(h *tar.Header, from io.Reader) error {
	name := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
	if name == "" || n.leave(name) {
		return nil
	}
	if n.names += len(name); n.names > maxNames {
		return errkind.Environmentf("the names of the root file system have more than %d MiB",
			maxNames>>20)
	}
	if n.last != "" && comparePaths(n.last, name) >= 0 {
		return errkind.Environmentf("the engine sent %s of the root file system after %s: only what is "+
			"sorted can be made the same everywhere", safetext.Line(name), safetext.Line(n.last))
	}
	n.last = name
	out := &tar.Header{Name: name, Typeflag: h.Typeflag, Mode: h.Mode & 0o7777, Uid: h.Uid, Gid: h.Gid,
		ModTime: h.ModTime.Truncate(time.Second)}
	if out.ModTime.After(n.epoch) || h.Typeflag == tar.TypeDir || out.ModTime.Unix() < 0 {
		out.ModTime = n.epoch // that of a directory depends on how an engine stores layers
	}
	if c := h.PAXRecords[capability]; c != "" {
		out.PAXRecords = map[string]string{capability: c}
	}
	if ctxio.HasHoles(h) {
		return refused(name, "has holes, which no engine sends")
	}
	switch h.Typeflag {
	case tar.TypeReg:
		out.Size, n.files[name] = h.Size, true
	case tar.TypeDir:
		out.Name += "/"
	case tar.TypeSymlink:
		out.Linkname, out.Mode = h.Linkname, 0o777
	case tar.TypeLink:
		if out.Linkname = strings.TrimPrefix(path.Clean("/"+h.Linkname), "/"); !n.files[out.Linkname] {
			return refused(name, "is a link to what is no file before it")
		}
	default:
		return refused(name, "is neither a file, a directory nor a link")
	}
	if err := n.to.WriteHeader(out); err != nil {
		return fmt.Errorf("%s of the root file system: %w", safetext.Line(name), err)
	}
	_, err := io.Copy(n.to, from)
	return err
}

func refused(name, why string) error {
	return errkind.Environmentf("%s of the root file system %s", safetext.Line(name), why)
}

// leave reports whether a path is no part of the root.
func (n *normalizer) leave(name string) bool {
	top, below, _ := strings.Cut(name, "/")
	return top == n.without || below != "" && slices.Contains(left, top) || slices.Contains(put, name)
}

// comparePaths orders paths as a walk through directories does.
func comparePaths(a, b string) int {
	return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/"))
}
