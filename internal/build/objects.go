// objects: the use of what compilers made in the steps of earlier runs.

package build

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"buildsys/internal/objects"
	"buildsys/internal/progress"
	"buildsys/internal/remote"
	"buildsys/internal/sdk"
)

// trustedDomain is the domain of the trees that the caller trusts.
const trustedDomain = "trusted"

// packPatience is how long a step waits for objects of other machines: they are to save time.
const packPatience = 2 * time.Minute

// withoutObjects returns the configuration of a session in which compilers do all the work.
func (c Config) withoutObjects() Config {
	c.Objects = ObjectsConfig{}
	return c
}

// objects returns the use of compiled objects, or nil for none. A release uses none: any earlier
// step could have written them.
func (s *Session) objects(ctx context.Context, keyed sdk.Digests, caches *remote.Cache,
	sink progress.Sink) *objects.Use {
	if !s.c.Objects.Use || s.c.Remote.Release {
		return nil
	}
	warn := func(text string) { sink.Event(progress.Event{Kind: progress.Warning, Text: text}) }
	store, err := objects.Open(s.c.CacheDir.Objects())
	if err != nil {
		warn(err.Error())
		return nil
	}
	use := &objects.Use{Store: store, SDK: keyed.SDK, Arch: s.c.Arch, Domain: s.domain(),
		ReadOnly: s.c.Objects.ReadOnly, Audit: s.c.Objects.Audit, Warn: warn,
		Room: objects.Usual.Bytes}
	if !s.c.Trusted { // its domain is a directory of this machine
		return use
	}
	if caches.Reads() {
		use.Fetch = func(space string, to *os.File) error {
			ctx, cancel := context.WithTimeout(ctx, packPatience)
			defer cancel()
			return caches.FetchObjects(ctx, space, to)
		}
	}
	if caches.Writes() {
		use.Share = caches.ShareObjects
	}
	return use
}

// domain returns whose objects this tree may use: those of all trees that the caller trusts, or, if
// this is none of them, its own.
func (s *Session) domain() string {
	if s.c.Trusted {
		return trustedDomain
	}
	root, err := filepath.EvalSymlinks(s.c.Root)
	if err != nil {
		root = s.c.Root
	}
	return "tree " + root
}

// objectsLine returns a sentence about what a use has brought, or "".
func objectsLine(use *objects.Use) string {
	if total := use.Total(); total.Asked+total.Refused > 0 {
		return total.String()
	}
	return ""
}

// trimObjects holds the store to its usual limits after a use that has kept something.
func (s *Session) trimObjects(use *objects.Use) {
	if use.Total().Kept == 0 {
		return
	}
	if _, err := use.Store.Trim(objects.Usual, time.Now()); err != nil {
		s.warn(fmt.Sprint(err))
	}
}
