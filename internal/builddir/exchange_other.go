// Systems without a call that exchanges two directories: publishing falls back to renames.

//go:build !linux

package builddir

import "errors"

func exchange(a, b string) error { return errors.ErrUnsupported }
