// Internals for tests outside the package.

package builddir

// Exchange is the system call, where there is one.
var Exchange = exchange

// Replace exports replace.
func (s *Staging) Replace(dir, out string) (undo func() error, err error) {
	return s.replace(dir, out)
}
