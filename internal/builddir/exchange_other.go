// Systems without a call to exchange two directories: publishing falls back to renames.

//go:build !linux

package builddir

import "errors"

func exchange(a, b string) error { return errors.ErrUnsupported }
