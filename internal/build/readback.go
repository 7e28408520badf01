// readback: reads the images of a variant before they are kept, and refuses those that differ from
// the plan.

package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"buildsys/internal/builddir"
	"buildsys/internal/image"
	"buildsys/internal/plan"
	"buildsys/internal/sbkeys"
)

// readBack returns the executor's check of a step's outputs in dir, which reads every disk of a
// variant's partition layout. Expanded images are in the directory temp while they are read.
func readBack(temp string) func(ctx context.Context, s plan.Step, dir string) error {
	return func(ctx context.Context, s plan.Step, dir string) error {
		if s.Layout == nil {
			return nil
		}
		signing, err := signingOf(s)
		if err != nil {
			return &builddir.HostError{Step: s.ID, Doing: "read the certificates", Err: err}
		}
		for _, disk := range s.Layout.Disks {
			file := filepath.Join(dir, plan.DiskFile(s, disk.Name))
			err := image.CheckFile(ctx, file, temp, *s.Layout, disk.Name, signing)
			if err := outputFault(ctx, s, file, err); err != nil {
				return err
			}
		}
		if name := plan.ApplianceFile(s); name != "" {
			file := filepath.Join(dir, name)
			return outputFault(ctx, s, file, image.CheckAppliance(ctx, file, temp, *s.Layout, signing))
		}
		return nil
	}
}

// outputFault returns the executor's error for an error of reading a file. A bad image is not the
// host's fault.
func outputFault(ctx context.Context, s plan.Step, file string, err error) error {
	refuse := func(reason string) error {
		return &builddir.OutputError{Step: s.ID, Path: filepath.Base(file), Reason: reason}
	}
	switch bad, ok := errors.AsType[*image.BadImageError](err); {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case ok:
		bad.Image = "" // the file is about to be removed from staging; the OutputError has its name
		return refuse(bad.Error())
	case errors.Is(err, fs.ErrNotExist):
		if _, e := os.Lstat(file); errors.Is(e, fs.ErrNotExist) {
			return refuse("the build did not make it")
		}
	}
	return &builddir.HostError{Step: s.ID, Doing: "read the image back", Err: err}
}

// signingOf returns the public keys to check the signatures in an image with, which are those that
// its build saw.
func signingOf(s plan.Step) (*image.Signing, error) {
	if !plan.SecureBoot(s) {
		return nil, nil
	}
	var signing image.Signing
	var err error
	for _, f := range s.Solve.Contexts["image"].Files {
		switch f.Name {
		case "keys/" + sbkeys.DBCert:
			signing.DB, err = sbkeys.ParseCertificate(f.Data)
		case "keys/" + sbkeys.VendorCert:
			signing.Vendor, err = sbkeys.ParseCertificate(f.Data)
		case "keys/" + sbkeys.ConfigPublic:
			signing.Config = f.Data
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	return &signing, nil
}
