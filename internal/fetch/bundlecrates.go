// bundlecrates: the crates that an archive of sources needs, as a vendor directory.

package fetch

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"buildsys/internal/confined"
	"buildsys/internal/crates"
	"buildsys/internal/manifest"
)

// VendorPath returns the directory that FetchVendor fills for f. Each archive and each Cargo.lock
// in it has its own.
func (s *Store) VendorPath(f manifest.ExternalFile) string {
	sum := sha256.Sum256([]byte(f.SHA512 + "\n" + f.BundleRoot))
	return filepath.Join(s.Crates, "vendor", fmt.Sprintf("%x", sum[:16]))
}

// FetchVendor makes VendorPath(f) a vendor directory with exactly the crates that the Cargo.lock in
// the archive f names, each held to its checksum there. The archive must be in the store. The error
// is an *archive.Error or a *crates.Error if the archive is not as its manifest describes it, or as
// that of FetchCrates.
func (s *Store) FetchVendor(ctx context.Context, step string, f manifest.ExternalFile) error {
	where := origin(step, f)
	list, err := crates.Read(ctx, s.Path(f), f.BundleRoot)
	if err != nil {
		return fmt.Errorf("%s: crates of %s: %w", where, f.Name(), err)
	}
	names, top := crates.VendorNames(list), s.VendorPath(f)
	if err := mkdirAll(top); err != nil {
		return err
	}
	err = s.fetchCrates(ctx, step, "the Cargo.lock of "+f.Name()+" ("+where+")", list,
		func(c crates.Crate) string { return filepath.Join(top, names[c]) })
	if err != nil {
		return err
	}
	return only(top, names)
}

// only removes from a directory what is none of the names.
func only(top string, names map[crates.Crate]string) error {
	known := map[string]bool{}
	for _, name := range names {
		known[name] = true
	}
	entries, err := confined.List(top)
	if err != nil {
		return storeError("read", top, err)
	}
	entries = slices.DeleteFunc(entries, func(e os.DirEntry) bool { return known[e.Name()] })
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(top, e.Name())); err != nil {
			return storeError("remove", filepath.Join(top, e.Name()), err)
		}
	}
	return nil
}
