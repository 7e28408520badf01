// check: holds the files of a directory against the statement about them.

package provenance

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"buildsys/internal/builddir"
	"buildsys/internal/confined"
	"buildsys/internal/ctxio"
)

// Find returns the name of the paper in a directory: the one that is signed, if there are both.
// What is wrong is a fault.
func Find(dir string) (string, error) {
	entries, err := confined.List(dir)
	if err != nil {
		return "", err
	}
	for _, end := range []string{builddir.SignedPaper, builddir.UnsignedPaper} {
		var found []string
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), end) {
				found = append(found, e.Name())
			}
		}
		switch {
		case len(found) == 1:
			return found[0], nil
		case len(found) > 1:
			return "", Faults{faultf(BadFiles, found[1], "there are %d statements beside the image: "+
				"an image and its papers are alone in a directory", len(found))}
		}
	}
	return "", Faults{faultf(BadStatement, dir, "there is no statement (*%s) beside the image",
		builddir.SignedPaper)}
}

// Open reads the paper in a directory.
func Open(dir, name string) ([]byte, error) {
	return confined.Path{Name: filepath.Join(dir, name)}.Read(MaxPaper)
}

// CheckFiles compares the files in a directory with the statement: none may be missing, none may be
// added but the paper itself, and all have the bytes that it says. It follows no link.
func (p *Paper) CheckFiles(ctx context.Context, dir string) (Faults, error) {
	root, err := confined.OpenDir(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	entries, err := confined.ReadDir(root.FS(), ".")
	if err != nil {
		return nil, err
	}
	var faults Faults
	seen := map[string]bool{p.Name: true}
	for _, e := range entries {
		name := e.Name()
		if seen[name] {
			continue
		}
		if seen[name] = true; len(faults) > maxSubjects {
			return append(faults, faultf(BadFiles, name, "and others are not looked at")), nil
		}
		fault, err := p.checkFile(ctx, root, name)
		if err != nil {
			return faults, err
		}
		if fault != "" {
			faults = append(faults, Fault{BadFiles, name, fault})
		}
	}
	for _, names := range [][]string{slices.Sorted(maps.Keys(p.Image.Subjects)),
		slices.Sorted(maps.Keys(p.Image.Links))} {
		for _, name := range names {
			if !seen[name] {
				faults = append(faults, faultf(BadFiles, name, "it is missing"))
			}
		}
	}
	return faults, nil
}

// checkFile returns what is wrong with a file beside the image, or "".
func (p *Paper) checkFile(ctx context.Context, root *os.Root, name string) (string, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return "", err
	}
	want, known := p.Image.Subjects[name]
	target, link := p.Image.Links[name]
	switch {
	case info.Mode()&os.ModeSymlink != 0:
		got, err := root.Readlink(name)
		switch {
		case err != nil:
			return "", err
		case !link:
			return "it is a link that the statement does not have", nil
		case got != target:
			return fmt.Sprintf("it leads to %q, and the statement says %q", got, target), nil
		}
		return "", nil
	case !known && link:
		return "the statement says that it is a link", nil
	case !known:
		return "it was added: the statement does not have it", nil
	case !info.Mode().IsRegular():
		return "it is no regular file", nil
	}
	f, err := root.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if now, err := f.Stat(); err != nil || !now.Mode().IsRegular() {
		return "it is no regular file", err
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, ctxio.NewReader(ctx, f)); err != nil {
		return "", err
	}
	if got := [32]byte(hash.Sum(nil)); got != want {
		return fmt.Sprintf("its %d bytes have the sha256 %x, and the statement says %x", info.Size(),
			got[:6], want[:6]), nil
	}
	return "", nil
}

// Hold refuses a file name that does not belong to the image.
func (p *Paper) Hold(file string) Faults {
	_, subject := p.Image.Subjects[file]
	_, link := p.Image.Links[file]
	if subject || link {
		return nil
	}
	return Faults{faultf(BadStatement, p.Name, "it is about another image: it does not have %s", file)}
}
