// devimage: images that are made to be booted at once (--dev), and never taken for one that is
// published: they have a step, a place and a build ID of their own.

package build

import "buildsys/internal/errkind"

// checkDevImage refuses what contradicts an image that is only to be booted.
func (s *Session) checkDevImage(want Request) error {
	switch {
	case !want.Dev:
		return nil
	case s.c.Remote.Release:
		return errkind.Usagef("--dev and --release are mutually exclusive: an image of --dev is to be " +
			"booted here and now, and lacks what a release is published with")
	case want.Verify:
		return errkind.Usagef("--dev and --verify-reproducible are mutually exclusive: verify the " +
			"image that is published")
	}
	return nil
}

// DevImage returns the disks of an image that was built with Request.Dev.
func (r Result) DevImage() (system, data string, err error) { return disksIn(r.Out) }
