// Checks the Secure Boot signatures in an image: of the programs that firmware starts, and of
// everything that GRUB reads.

package image

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"buildsys/internal/pgp"
	"buildsys/internal/uefi"
)

// Signing has the keys that the signatures of an image are checked with.
type Signing struct {
	DB     []byte // certificate that the firmware trusts, DER
	Vendor []byte // certificate that shim trusts, DER; empty if there is no shim
	Config []byte // OpenPGP public key that is built into GRUB; empty if there is none
}

// maxProgram is the largest program, in bytes, whose signature is checked; kernels have 5 to 20
// MiB.
const maxProgram = readBudget - 1<<20

// isProgram reports whether firmware may start a file of the ESP.
func isProgram(name string) bool { return strings.HasSuffix(strings.ToLower(name), ".efi") }

// kernelOf returns the file of the first kernel in grub.cfg.
func kernelOf(b Boot) string { return strings.TrimPrefix(b.Entries[0].Kernel, "($root)") }

// signers returns the subjects of those who signed a program; none if it is not signed or not a
// program. The error says that a signature is damaged or belongs to another program.
func signers(raw []byte) ([]string, error) {
	names := []string{}
	program, err := uefi.ParseProgram(raw)
	if err != nil {
		return names, nil
	}
	all, err := program.Signatures()
	if err != nil {
		return names, err
	}
	for _, s := range all {
		if err := program.Verify(s); err != nil {
			return names, err
		}
		names = append(names, s.Signer.Subject.String())
	}
	return names, nil
}

// check verifies what firmware and GRUB will verify, each with its key. A *BadImageError has all
// faults.
func (s *Signing) check(img io.ReaderAt, l Layout) error {
	db, err := x509.ParseCertificate(s.DB)
	vendor := db
	if err == nil && len(s.Vendor) > 0 {
		vendor, err = x509.ParseCertificate(s.Vendor)
	}
	if err != nil {
		return fmt.Errorf("read the certificates that images are signed with: %w", err)
	}
	type checked struct {
		key   string
		check func(part section, db, vendor *x509.Certificate) []error
	}
	if l.unified() {
		s = &Signing{DB: s.DB} // there is no GRUB and no shim
	}
	all := []checked{{"EFI-A", s.checkESP}, {"BOOT-A", s.checkBoot}}
	if l.unified() {
		all = all[:1]
	}
	var faults []error
	for _, one := range all {
		p, ok := l.Partition(one.key)
		if !ok {
			return fmt.Errorf("the layout has no partition %s", one.key)
		}
		part := within(img, p)
		for _, fault := range one.check(part, db, vendor) {
			faults = append(faults, part.fault("Secure Boot: %w", fault))
		}
	}
	if len(faults) > 0 {
		return &BadImageError{Faults: faults}
	}
	return nil
}

// checkESP checks the programs of the ESP, and that the configuration there is signed.
func (s *Signing) checkESP(part section, db, vendor *x509.Certificate) []error {
	fs, err := OpenFAT(part, part.Size())
	if err != nil {
		return []error{err}
	}
	files, err := fs.Files()
	if err != nil {
		return []error{err}
	}
	byName, programs := map[string]DirEntry{}, 0
	for _, f := range files {
		byName[f.Name] = f
	}
	read := func(name string) ([]byte, error) {
		f, ok := byName[name]
		if !ok {
			return nil, fmt.Errorf("%s is missing", name)
		}
		return fs.Read(f, maxProgram)
	}
	var faults []error
	for _, f := range files {
		switch {
		case isProgram(f.Name):
			if programs++; programs > maxPrograms {
				return append(faults, fmt.Errorf("there are more than %d programs", maxPrograms))
			}
			faults = append(faults, drop(s.checkTrust(f.Name, read, db, vendor))...)
		case strings.HasSuffix(f.Name, "/grub.cfg"):
			if err := s.checkDetached(f.Name, read); err != nil {
				faults = append(faults, err)
			}
		}
	}
	if programs == 0 {
		faults = append(faults, errors.New("there is no program for the firmware to start"))
	}
	return faults
}

// checkTrust checks a program of the ESP: who signed it, and whom it trusts.
func (s *Signing) checkTrust(name string, read func(string) ([]byte, error),
	db, vendor *x509.Certificate) error {
	shim := len(s.Vendor) > 0 && strings.HasPrefix(strings.ToLower(path.Base(name)), "boot")
	by, trusts, what := vendor, s.Config, "the public key with which GRUB is to check what it reads"
	switch {
	case shim:
		by, trusts = db, s.Vendor
		what = "the certificate of the vendor, by which shim is to check what it starts"
	case len(s.Vendor) > 0 && !strings.HasPrefix(strings.ToLower(path.Base(name)), "grub"):
		trusts = nil // a program of shim's
	}
	if err := s.checkProgram(name, read, by); err != nil {
		return err
	}
	if raw, err := read(name); err == nil && !bytes.Contains(raw, trusts) {
		return fmt.Errorf("%s does not contain %s", name, what)
	}
	return nil
}

// checkBoot checks the kernel, which both firmware and GRUB verify, or shim alone, and the
// configuration.
func (s *Signing) checkBoot(part section, _, vendor *x509.Certificate) []error {
	fs, err := OpenExt4(part, part.Size())
	if err != nil {
		return []error{err}
	}
	read := func(name string) ([]byte, error) { return fs.ReadFile(name, maxProgram) }
	var faults []error
	if err := s.checkDetached(grubConfig, read); err != nil {
		faults = append(faults, err)
	}
	b, bad := readBoot(part)
	if len(bad) > 0 {
		return append(faults, bad...)
	}
	kernel := kernelOf(b)
	faults = append(faults, drop(s.checkProgram(kernel, read, vendor))...)
	if len(s.Vendor) > 0 {
		return faults
	}
	return append(faults, drop(s.checkDetached(kernel, read))...)
}

func (s *Signing) checkProgram(name string, read func(string) ([]byte, error),
	db *x509.Certificate) error {
	raw, err := read(name)
	if err != nil {
		return err
	}
	program, err := uefi.ParseProgram(raw)
	if err == nil {
		err = program.VerifiedBy(db)
	}
	if err != nil {
		return fmt.Errorf("%s: firmware would not start it: %w", name, err)
	}
	return nil
}

func (s *Signing) checkDetached(name string, read func(string) ([]byte, error)) error {
	data, err := read(name)
	if err != nil {
		return err
	}
	signature, err := read(name + ".sig")
	if err == nil {
		err = pgp.Verify(s.Config, data, signature)
	}
	if err != nil {
		return fmt.Errorf("%s: GRUB would not read it: %w", name, err)
	}
	return nil
}

// drop removes errors that are nil.
func drop(errs ...error) []error {
	var left []error
	for _, err := range errs {
		if err != nil {
			left = append(left, err)
		}
	}
	return left
}
