// billread: finds the bills of materials of images that exist.

package build

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"buildsys/internal/cache"
	"buildsys/internal/confined"
	"buildsys/internal/ctxio"
	"buildsys/internal/errkind"
	"buildsys/internal/sbom"
)

// BillText returns a bill of materials of an image: sbom.SPDXName or sbom.CycloneDXName. If the
// store has it among the outputs of the image's build it is that, and its bytes are checked; else
// it is the file beside the image.
func (s *Session) BillText(ctx context.Context, of NamedImage, name string) ([]byte, error) {
	if of.Entry != nil {
		if text, ok, err := s.storedBill(ctx, *of.Entry, name); ok || err != nil {
			return text, err
		}
	}
	return BillBeside(of, name)
}

// BillBeside returns a bill of materials that lies beside an image.
func BillBeside(of NamedImage, name string) ([]byte, error) {
	at := filepath.Join(filepath.Dir(of.Files[0]), name)
	text, err := confined.Path{Name: at}.Read(maxBill)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errkind.Usagef("there is no bill of materials of %s: %s does not exist; images of "+
			"before there were any, and of a tree's own Dockerfile, have none", of.Name, at)
	}
	return text, errkind.BadEnvironment(err)
}

// storedBill returns a bill of materials among the outputs in the store.
func (s *Session) storedBill(ctx context.Context, e cache.Entry, name string) (text []byte, ok bool,
	err error) {
	store, err := s.openStore(s.out)
	if err != nil {
		return nil, false, err
	}
	for _, f := range e.Files {
		blob := cache.Blob{SHA256: f.SHA256, Size: f.Size}
		if f.Name != name || f.Link != "" || f.Size > maxBill || !store.HasBlob(blob) {
			continue
		}
		file, err := store.OpenBlob(blob)
		if err != nil {
			return nil, false, errkind.BadEnvironment(err)
		}
		defer file.Close()
		text, err := io.ReadAll(io.LimitReader(ctxio.NewReader(ctx, file), f.Size))
		if err == nil && sha256.Sum256(text) != f.SHA256 {
			err = fmt.Errorf("the stored %s is damaged", name)
		}
		return text, err == nil, errkind.BadEnvironment(err)
	}
	return nil, false, nil
}

// Bill returns what is in an image.
func Bill(text []byte, of string) (sbom.Document, error) {
	d, err := sbom.Read(bytes.NewReader(text))
	if err != nil {
		return d, errkind.Usagef("the bill of materials of %s cannot be read: %w", of, err)
	}
	return d, nil
}

// ChangedParts returns how the parts of two images or kits differ, as text, by the keys of their
// steps; nil if the store does not have both of their bills of materials.
func (s *Session) ChangedParts(ctx context.Context, step, before, after string) []string {
	results, err := s.Results()
	if err != nil || before == after {
		return nil
	}
	var docs []sbom.Document
	for _, key := range []string{before, after} {
		e, ok := results(step, key)
		if !ok || !s.believes(e) {
			return nil
		}
		text, ok, err := s.storedBill(ctx, e, sbom.SPDXName)
		if !ok || err != nil {
			return nil
		}
		d, err := Bill(text, step)
		if err != nil {
			return nil
		}
		docs = append(docs, d)
	}
	return sbom.Compare(docs[0], docs[1]).Lines()
}
