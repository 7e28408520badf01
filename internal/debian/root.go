// root: a root file system in which packages are unpacked, but not installed, as debootstrap begins
// with: dpkg runs in it, and can then install these packages and others.

package debian

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"buildsys/internal/confined"
	"buildsys/internal/ctxio"
	"buildsys/internal/safetext"
)

// WriteRoot writes the files of packages as one tar, without documentation, and the empty list of
// what is installed. files are the paths of the packages, in the order in which they are unpacked.
// Equal packages make equal bytes. Errors name the package.
func WriteRoot(ctx context.Context, to io.Writer, files []string) error {
	r := &root{to: tar.NewWriter(to), left: maxRoot, kind: map[string]byte{}}
	for _, file := range files {
		if err := r.unpack(ctx, file); err != nil {
			return fmt.Errorf("%s: %w", path.Base(file), err)
		}
	}
	const status = "var/lib/dpkg/status"
	if r.kind[path.Dir(status)] != tar.TypeDir {
		return errors.New("none of the packages to begin with has " + path.Dir(status))
	}
	if err := r.to.WriteHeader(&tar.Header{Name: status, Typeflag: tar.TypeReg,
		Mode: 0o644}); err != nil {
		return err
	}
	return r.to.Close()
}

// unpack writes the files of one package.
func (r *root) unpack(ctx context.Context, file string) error {
	f, err := confined.Path{Name: file}.Open()
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := openData(ctxio.NewReader(ctx, f))
	if err != nil {
		return err
	}
	defer data.Close()
	for t := tar.NewReader(counter{data, &r.left}); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := r.add(h, t); err != nil {
			return fmt.Errorf("%.200s: %w", safetext.Line(h.Name), err)
		}
	}
}

// add writes one file. A path leads only through directories that came before it, so that nothing
// is written anywhere else.
func (r *root) add(h *tar.Header, from io.Reader) error {
	name := strings.TrimSuffix(strings.TrimPrefix(h.Name, "./"), "/")
	if h.Typeflag == tar.TypeDir && (name == "." || name == "") || isDocumentation(name) {
		return nil
	}
	if r.entries++; r.entries > maxEntries {
		return fmt.Errorf("the packages have more than %d files", maxEntries)
	}
	had, there := r.kind[name]
	switch {
	case !isRelative(name):
		return errors.New("it is not a path below the root")
	case len(name) > maxPath || len(h.Linkname) > maxPath:
		return fmt.Errorf("it is longer than any path, %d bytes", maxPath)
	case there && had == tar.TypeDir && h.Typeflag == tar.TypeDir:
		return nil
	case there:
		return errors.New("another package has it as well")
	case path.Dir(name) != "." && r.kind[path.Dir(name)] != tar.TypeDir:
		return errors.New("it is not in a directory of a package")
	case ctxio.HasHoles(h):
		return errors.New("it has holes, which no package has")
	}
	link := h.Linkname
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeDir, tar.TypeSymlink:
	case tar.TypeLink:
		link = strings.TrimPrefix(link, "./")
		if r.kind[link] != tar.TypeReg {
			return errors.New("it is a link to what is no file of a package")
		}
	default:
		return errors.New("it is neither a file, a directory nor a link")
	}
	r.kind[name] = h.Typeflag
	out := &tar.Header{Name: name, Linkname: link, Typeflag: h.Typeflag, Mode: h.Mode & 0o7777,
		Uid: h.Uid, Gid: h.Gid, Size: h.Size, ModTime: h.ModTime}
	if h.Typeflag == tar.TypeDir {
		out.Name += "/"
	}
	if err := r.to.WriteHeader(out); err != nil {
		return err
	}
	_, err := io.Copy(r.to, from)
	return err
}

func isRelative(name string) bool {
	return name != "" && path.Clean(name) == name && name[0] != '/' && name != ".." &&
		!strings.HasPrefix(name, "../")
}

// isDocumentation reports whether nothing needs a file to run. dpkg adds what is wanted of these.
func isDocumentation(name string) bool {
	for _, dir := range []string{"doc", "info", "locale", "man"} {
		if strings.HasPrefix(name, "usr/share/"+dir+"/") {
			return true
		}
	}
	return false
}
