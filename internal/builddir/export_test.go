// What the tests outside the package need of its inside.

package builddir

// Exchange is the system call, where there is one.
var Exchange = exchange

// Replace is replace.
func (s *Staging) Replace(dir, out string) (undo func() error, err error) {
	return s.replace(dir, out)
}
