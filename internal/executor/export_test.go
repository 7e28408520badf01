// What the tests outside the package need of its inside.

package executor

// NoSync returns o without writing to disk, for tests of many runs that no power cut threatens.
func (o Options) NoSync() Options {
	o.hooks.Sync = func(string) error { return nil }
	return o
}
