// bumpcheck: builds a package and what needs it, and says how its RPMs differ from those before.

package build

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	"buildsys/internal/rpm"
	"buildsys/internal/safetext"
	"buildsys/internal/workspace"
)

// Check is a package and what is built to see whether another version of it works.
type Check struct {
	Package string
	Needed  []string // the packages whose builds see its RPMs
	Variant string   // that has it; empty without one
	Before  map[string][]rpm.Offer
	// Image is the key of the image before; empty if there was none.
	Image string
	s     *Session
}

// NewCheck finds what a check of a package has to build.
func (s *Session) NewCheck(name, variant string) (*Check, error) {
	ws, err := s.Load()
	if err != nil {
		return nil, err
	}
	c := &Check{Package: name, s: s}
	g := ws.Graph()
	for _, other := range ws.PackageNames() {
		if slices.Contains(g.BuildClosure(other), name) {
			c.Needed = append(c.Needed, other)
		}
	}
	if v := ws.Variants[variant]; v != nil {
		all := workspace.Packages(g.Closure(slices.Concat(v.BuildRequires, v.Requires)...))
		if slices.Contains(all, name) {
			c.Variant = variant
		} else {
			s.out.Notice(fmt.Sprintf("%s does not have %s: no image is made", variant, name))
		}
	}
	return c, nil
}

// Build builds everything that the check is about.
func (c *Check) Build(ctx context.Context) error {
	_, err := c.s.Build(ctx, Request{Packages: append([]string{c.Package}, c.Needed...)})
	if err == nil && c.Variant != "" {
		_, err = c.image().Build(ctx, Request{Image: true})
	}
	return err
}

func (c *Check) image() *Session { return c.s.with(c.s.c.WithVariant(c.Variant)) }

// Measure notes what is built now, to be compared with what comes after.
func (c *Check) Measure() {
	c.Before, c.Image = c.offers(), c.newestImage()
}

// newestImage returns the key of the newest image.
func (c *Check) newestImage() string {
	if c.Variant == "" {
		return ""
	}
	images, err := c.image().EarlierImages()
	if err != nil || len(images) == 0 {
		return ""
	}
	return images[0].Entry.Action.String()
}

// NewImage reports whether there is another image than before, and one before.
func (c *Check) NewImage() bool { return c.Image != "" && c.newestImage() != c.Image }

// Diff returns how the RPMs of the packages differ from those before.
func (c *Check) Diff() (all []rpm.OfferDiff) {
	now := c.offers()
	for _, name := range append([]string{c.Package}, c.Needed...) {
		all = append(all, rpm.CompareOffers(c.Before[name], now[name])...)
	}
	return all
}

// offers reads the RPMs of the packages in the checkout.
func (c *Check) offers() map[string][]rpm.Offer {
	all := map[string][]rpm.Offer{}
	for _, name := range append([]string{c.Package}, c.Needed...) {
		c.s.readRPMs(name, map[string]bool{}, func(_ string, in io.Reader) bool {
			o, err := rpm.ReadOffer(in.(*os.File))
			if err != nil {
				c.s.warn(fmt.Sprintf("an RPM of %s is not compared: %s", name,
					safetext.Line(err.Error())))
			} else {
				all[name] = append(all[name], o)
			}
			return true
		})
	}
	return all
}
