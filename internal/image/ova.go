// Opens OVA files: tar archives with disks, a description, and a manifest with the SHA-256 of each.

package image

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
)

const (
	maxOVAMembers  = 100
	maxOVAManifest = 1 << 20 // bytes
)

// OpenAll is Open for files that may hold several disks: it returns the disks of an OVA in order,
// after it has checked every member against the archive's manifest. The caller closes them.
func OpenAll(ctx context.Context, file, dir string) ([]*File, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if !isTar(f) {
		one, err := Open(ctx, file, dir)
		if err != nil {
			return nil, err
		}
		return []*File{one}, nil
	}
	members, err := ovaMembers(ctx, f)
	if err == nil && len(members) == 0 {
		err = errors.New("the archive has no .vmdk file")
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, &BadImageError{file, []error{err}}
	}
	var disks []*File
	for _, m := range members {
		disk, err := expand(ctx, expandVMDK, m.SectionReader, file+", "+m.name, dir)
		if err != nil {
			for _, d := range disks {
				d.Close() // it was only read
			}
			return nil, err
		}
		disk.Member = m.name
		disks = append(disks, disk)
	}
	return disks, nil
}

// CheckAppliance checks every disk of an OVA as CheckFile does, and that the archive holds all of
// them, in the order of the layout, with a matching manifest. dir is for temporary files.
func CheckAppliance(ctx context.Context, path, dir string, l Layout, signing *Signing) error {
	disks, err := OpenAll(ctx, path, dir)
	if err != nil {
		return err
	}
	defer func() {
		for _, d := range disks {
			d.Close() // it was only read
		}
	}()
	if len(disks) != len(l.Disks) {
		return &BadImageError{path,
			[]error{fmt.Errorf("the archive has %d disks, the layout %d", len(disks), len(l.Disks))}}
	}
	for i, d := range disks {
		if err := checkDisk(ctx, d, path+", "+d.Member, l, l.Disks[i].Name, signing); err != nil {
			return err
		}
	}
	return nil
}

// isTar recognises a tar archive; it ignores read errors.
func isTar(f io.ReaderAt) bool {
	magic := make([]byte, 5)
	n, _ := f.ReadAt(magic, 257)
	return string(magic[:n]) == "ustar"
}

// ovaMembers returns the positions of the disks in an archive, and checks its manifest.
func ovaMembers(ctx context.Context, f io.ReadSeeker) ([]section, error) {
	sums := map[string]string{}
	var manifest string
	var disks []section
	archive := tar.NewReader(f)
	for {
		h, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read archive: %w", err)
		}
		if len(sums) > maxOVAMembers {
			return nil, fmt.Errorf("the archive has more than %d files", maxOVAMembers)
		}
		// archive/tar has just read the header, so the contents begin here.
		at, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		sum := sha256.New()
		var text strings.Builder
		var to io.Writer = sum
		if path.Ext(h.Name) == ".mf" {
			if h.Size > maxOVAManifest {
				return nil, fmt.Errorf("the manifest %s has %d bytes", h.Name, h.Size)
			}
			to = &text
		}
		if _, err := io.Copy(to, reader{ctx, archive}); err != nil {
			return nil, fmt.Errorf("read %s in the archive: %w", h.Name, torn(err))
		}
		if path.Ext(h.Name) == ".mf" {
			manifest = text.String()
			continue
		}
		sums[h.Name] = fmt.Sprintf("%x", sum.Sum(nil))
		if source, ok := f.(io.ReaderAt); ok && path.Ext(h.Name) == ".vmdk" {
			disks = append(disks, section{h.Name, io.NewSectionReader(source, at, h.Size)})
		}
	}
	return disks, checkOVAManifest(manifest, sums)
}

// checkOVAManifest compares lines "SHA256(name)= digest" with the sums of the members (DMTF
// DSP0243, §5.1).
func checkOVAManifest(manifest string, sums map[string]string) error {
	if manifest == "" {
		return errors.New("the archive has no manifest (.mf)")
	}
	listed := map[string]bool{}
	for lines := bufio.NewScanner(strings.NewReader(manifest)); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if line == "" {
			continue
		}
		head, want, ok1 := strings.Cut(line, ")=")
		algorithm, name, ok2 := strings.Cut(head, "(")
		if !ok1 || !ok2 || strings.TrimSpace(algorithm) != "SHA256" {
			return fmt.Errorf("the manifest has the line %q: SHA256(name)= digest is expected", line)
		}
		got, ok := sums[name]
		if !ok {
			return fmt.Errorf("the manifest names %s, which the archive lacks", name)
		}
		if want = strings.TrimSpace(want); got != want {
			return fmt.Errorf("%s has the SHA-256 %s, the manifest says %s", name, got, want)
		}
		listed[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		if !listed[name] {
			return fmt.Errorf("the manifest lacks %s", name)
		}
	}
	return nil
}

// reader is a reader that ends with its context.
type reader struct {
	ctx context.Context
	io.Reader
}

func (r reader) Read(b []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.Reader.Read(b)
}
