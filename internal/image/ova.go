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

	"buildsys/internal/confined"
	"buildsys/internal/ctxio"
)

const (
	maxOVAMembers = 100     // an appliance has a description, a manifest and a few disks
	maxOVAText    = 1 << 20 // bytes of the manifest, and of the description
	maxOVADisks   = 8       // an image has at most two, each of which is read
)

// OpenAll is Open for files that may hold several disks: it returns the disks of an OVA in order,
// after it has checked every member against the archive's manifest. The caller closes them.
func OpenAll(ctx context.Context, file, dir string) ([]*File, error) {
	some := anyDisk
	return openAll(ctx, file, dir, &some)
}

// openAll is OpenAll within limits, which all disks share.
func openAll(ctx context.Context, file, dir string, l *limits) ([]*File, error) {
	f, err := confined.Path{Name: file}.Open()
	if err != nil {
		return nil, err
	}
	if !isTar(f) {
		one, err := openFile(ctx, f, dir, l)
		if err != nil {
			return nil, err
		}
		return []*File{one}, nil
	}
	defer f.Close()
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
		disk, err := expand(expansion{ctx: ctx, limits: l}, expandVMDK, m.SectionReader,
			file+", "+m.name, dir)
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
	disks, err := openAll(ctx, path, dir, disksOf(l, ""))
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
func ovaMembers(ctx context.Context, f *os.File) ([]section, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	sums := map[string]string{}
	var manifest, description string
	var disks []section
	archive := tar.NewReader(seeker{ctx, f})
	for {
		h, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read archive: %w", err)
		}
		// archive/tar has just read the header, so the contents begin here.
		at, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		if err := checkMember(h, at, info.Size(), sums); err != nil {
			return nil, err
		}
		if err := checkPlainHeader(f, h, at); err != nil {
			return nil, err
		}
		text, sum := &textHead{}, sha256.New()
		if _, err := io.Copy(io.MultiWriter(text, sum), archive); err != nil {
			return nil, fmt.Errorf("read %q in the archive: %w", h.Name, torn(err))
		}
		sums[h.Name] = fmt.Sprintf("%x", sum.Sum(nil))
		switch path.Ext(h.Name) {
		case ".mf":
			manifest, sums[h.Name] = text.String(), ""
		case ".ovf":
			if description != "" {
				return nil, errTwoOVF
			}
			description = text.String()
		case ".vmdk":
			if len(disks) == maxOVADisks {
				return nil, fmt.Errorf("the archive has more than %d disks", maxOVADisks)
			}
			disks = append(disks, section{h.Name, io.NewSectionReader(f, at, h.Size)})
		}
	}
	maps.DeleteFunc(sums, func(_, sum string) bool { return sum == "" }) // the manifest's own
	err = checkOVAManifest(manifest, sums)
	if err == nil && description != "" {
		err = checkOVF(description, disks, sums)
	}
	return disks, err
}

// checkMember refuses a member whose contents are not the bytes at an offset of the archive: a link
// or a file with holes, of which a few bytes claim any size. known has the members before it.
func checkMember(h *tar.Header, at, archive int64, known map[string]string) error {
	_, twice := known[h.Name]
	switch {
	case len(known) >= maxOVAMembers:
		return fmt.Errorf("the archive has more than %d files", maxOVAMembers)
	case twice:
		return fmt.Errorf("the archive has two files named %q", h.Name)
	case h.Typeflag != tar.TypeReg || ctxio.HasHoles(h):
		return fmt.Errorf("%q in the archive is not a regular file, or has holes", h.Name)
	case h.Size > archive-at:
		return fmt.Errorf("read %q in the archive: it claims %d bytes, %d are left: %w", h.Name, h.Size,
			archive-at, io.ErrUnexpectedEOF)
	case (path.Ext(h.Name) == ".mf" || path.Ext(h.Name) == ".ovf") && h.Size > maxOVAText:
		return fmt.Errorf("%q in the archive has %d bytes, more than %d", h.Name, h.Size, maxOVAText)
	}
	return nil
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

// seeker is reader for what can skip bytes.
type seeker struct {
	ctx context.Context
	f   io.ReadSeeker
}

func (s seeker) Read(b []byte) (int, error) { return reader{s.ctx, s.f}.Read(b) }

func (s seeker) Seek(offset int64, whence int) (int64, error) { return s.f.Seek(offset, whence) }
