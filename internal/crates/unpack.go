// unpack: the files of a crate, as "cargo vendor" would lay them down.

package crates

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"buildsys/internal/ctxio"
)

// Limits of one crate. The public registry takes files of 10 MiB, by exception a few times more.
const (
	maxBytes  = 512 << 20 // unpacked
	maxFiles  = 50000
	maxNames  = 16 << 20 // bytes of all names
	maxName   = 1000     // bytes of one
	maxParts  = 64       // directories of one
	windowMax = 64 << 10 // bytes that are compared at once
)

// checksumFile is cargo's list of the checksums of a vendored crate.
const checksumFile = ".cargo-checksum.json"

// Unpack writes the files of a crate, a .crate file that has the right checksum, to an empty
// directory, with the list of checksums that cargo wants. The error names what a crate must not
// have: links and special files, names that lead elsewhere, too much of anything.
func (c Crate) Unpack(ctx context.Context, file io.Reader, to *os.Root) error {
	err := unpack(to, &c.SHA256, func(take takeFile) error { return c.each(ctx, file, take) })
	if err != nil {
		return fmt.Errorf("crate %s: %w", c, err)
	}
	return nil
}

// Check returns an error unless a directory has exactly what Unpack writes for the .crate file.
func (c Crate) Check(ctx context.Context, file io.Reader, dir *os.Root) error {
	return check(dir, &c.SHA256, func(take takeFile) error { return c.each(ctx, file, take) })
}

// takeFile is called for each file of a crate.
type takeFile func(name string, exec bool, r io.Reader) error

// unpack writes the files that each has, and the list of their checksums. packed is the checksum of
// the whole, nil if it has none.
func unpack(to *os.Root, packed *string, each func(takeFile) error) error {
	sums := map[string]string{}
	err := each(func(name string, exec bool, r io.Reader) error {
		if dir := path.Dir(name); dir != "." {
			if err := to.MkdirAll(dir, 0o755); err != nil {
				return err
			}
		}
		mode := fs.FileMode(0o644)
		if exec {
			mode = 0o755
		}
		f, err := to.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
		if err != nil {
			return err
		}
		sum := sha256.New()
		_, err = io.Copy(io.MultiWriter(f, sum), r)
		sums[name] = hex.EncodeToString(sum.Sum(nil))
		return errors.Join(err, f.Close())
	})
	if err != nil {
		return err
	}
	return to.WriteFile(checksumFile, checksums(sums, packed), 0o644)
}

// checksums returns the list of checksums in its file form.
func checksums(sums map[string]string, packed *string) []byte {
	text, _ := json.Marshal(struct { // the keys of a map are sorted
		Files   map[string]string `json:"files"`
		Package *string           `json:"package"`
	}{sums, packed})
	return text
}

var errChecksums = errors.New("its list of checksums is wrong or missing")

// check returns an error unless a directory has exactly what unpack writes.
func check(dir *os.Root, packed *string, each func(takeFile) error) error {
	sums := map[string]string{}
	err := each(func(name string, exec bool, r io.Reader) error {
		info, err := dir.Lstat(name)
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() || (info.Mode()&0o100 != 0) != exec {
			return fmt.Errorf("%s has the mode %v", name, info.Mode())
		}
		f, err := dir.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		sum := sha256.New()
		if err := same(io.TeeReader(r, sum), f); err != nil {
			return fmt.Errorf("%s %w", name, err)
		}
		sums[name] = hex.EncodeToString(sum.Sum(nil))
		return nil
	})
	if err != nil {
		return err
	}
	want := checksums(sums, packed)
	info, err := dir.Lstat(checksumFile)
	if err != nil || !info.Mode().IsRegular() || info.Size() != int64(len(want)) {
		return errChecksums
	}
	text, err := dir.ReadFile(checksumFile)
	if err != nil || !bytes.Equal(text, want) {
		return errChecksums
	}
	files := 0
	err = fs.WalkDir(dir.FS(), ".", func(_ string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			files++
		}
		return err
	})
	if err == nil && files != len(sums)+1 {
		err = fmt.Errorf("it has %d files instead of %d", files, len(sums)+1)
	}
	return err
}

// same compares two files.
func same(a, b io.Reader) error {
	one, two := make([]byte, windowMax), make([]byte, windowMax)
	for {
		n, errA := io.ReadFull(a, one)
		m, errB := io.ReadFull(b, two)
		if !bytes.Equal(one[:n], two[:m]) {
			return errors.New("has other contents")
		}
		for _, err := range []error{errA, errB} {
			if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
				return err
			}
		}
		if errA != nil {
			return nil
		}
	}
}

// dropped are files that "cargo vendor" leaves out, because git or patch would mistake them for
// theirs, and cargo's own.
var dropped = []string{".gitattributes", ".gitignore", ".git", ".cargo-ok", checksumFile}

// each calls take for each file of a .crate file, a tar in gzip with one directory at its top.
func (c Crate) each(ctx context.Context, file io.Reader,
	take takeFile) error {
	z, err := gzip.NewReader(bufio.NewReader(ctxio.NewReader(ctx, file)))
	if err != nil {
		return err
	}
	left := &io.LimitedReader{R: z, N: maxBytes}
	seen, names := map[string]bool{}, 0
	for t := tar.NewReader(left); ; {
		h, err := t.Next()
		if left.N == 0 {
			return fmt.Errorf("it has more than %d MiB", maxBytes>>20)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		name, err := c.name(h)
		if err != nil {
			return err
		}
		if name == "" {
			continue
		}
		if names += len(name); len(seen) == maxFiles || names > maxNames {
			return errors.New("it has too many files")
		}
		if seen[name] {
			return fmt.Errorf("it has %q twice", name)
		}
		seen[name] = true
		err = take(name, h.FileInfo().Mode()&0o100 != 0, t)
		if left.N == 0 {
			return fmt.Errorf("it has more than %d MiB", maxBytes>>20)
		}
		if err != nil {
			return err
		}
	}
	if !seen["Cargo.toml"] {
		return errors.New("it has no Cargo.toml")
	}
	return nil
}

// name returns the name of a file of the crate below its top directory; "" for what is left out.
func (c Crate) name(h *tar.Header) (string, error) {
	name, ok := strings.CutPrefix(path.Clean(h.Name), c.String())
	if h.Typeflag == tar.TypeXGlobalHeader || ok && name == "" && h.Typeflag == tar.TypeDir {
		return "", nil
	}
	name, below := strings.CutPrefix(name, "/")
	switch parts := strings.Split(name, "/"); {
	case !ok || !below || !fs.ValidPath(name) || !fs.ValidPath(strings.TrimSuffix(h.Name, "/")):
		return "", fmt.Errorf("%q does not lie in %s", shorten(h.Name), c)
	case len(name) > maxName || len(parts) > maxParts:
		return "", fmt.Errorf("%q is too long a name", shorten(h.Name))
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) ||
		strings.Contains(name, "\\"):
		return "", fmt.Errorf("%q is not a plain name", shorten(h.Name))
	case h.Typeflag == tar.TypeDir:
		return "", nil
	case ctxio.HasHoles(h):
		return "", fmt.Errorf("%q has holes", shorten(h.Name))
	case h.Typeflag != tar.TypeReg:
		return "", fmt.Errorf("%q is neither a file nor a directory", shorten(h.Name))
	case slices.Contains(dropped, parts[len(parts)-1]):
		return "", nil
	}
	return name, nil
}

func shorten(name string) string { return name[:min(len(name), maxName)] }
