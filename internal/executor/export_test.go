// Internals for tests outside the package.

package executor

// NoSync returns o without syncs to disk, for tests of many runs in which a power cut does not
// matter.
func (o Options) NoSync() Options {
	o.hooks.Sync = func(string) error { return nil }
	return o
}
