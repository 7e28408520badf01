// compared: what two builds of the same package offer: sizes, files and provides of their RPMs.

package rpm

import (
	"cmp"
	"io"
	"maps"
	"slices"
	"strings"
)

const (
	tagProvides = 1047
	tagRequires = 1049
)

// Offer is what an RPM brings and needs.
type Offer struct {
	Info
	Provides, Requires []string // names, without versions
}

// ReadOffer reads the header of the RPM at the beginning of in.
func ReadOffer(in io.ReadSeeker) (o Offer, err error) {
	if o.Info, err = ReadInfo(in); err != nil {
		return o, err
	}
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return o, err
	}
	h, err := Read(in, tagProvides, tagRequires)
	o.Provides, o.Requires = h[tagProvides], h[tagRequires]
	return o, err
}

// size returns how many bytes the files have.
func (o Offer) size() (n int64) {
	for _, f := range o.Files {
		if !f.Ghost {
			n += f.Size
		}
	}
	return n
}

// OfferDiff is how an RPM differs from an earlier one of its name.
type OfferDiff struct {
	Name          string
	Before, After string // versions with releases; empty if there is none
	Bytes         int64  // how much more its files have
	// Added, Removed and Changed are files; those that changed have other contents or attributes.
	Added, Removed, Changed []string
	// Gained and Lost are what it provides and what it needs: "provides libz.so.1()(64bit)".
	Gained, Lost []string
}

// Same reports whether the files, and what it provides and needs, are the same.
func (d OfferDiff) Same() bool {
	return d.Before == d.After && d.Bytes == 0 &&
		len(d.Added)+len(d.Removed)+len(d.Changed)+len(d.Gained)+len(d.Lost) == 0
}

// CompareOffers returns how RPMs differ from earlier ones, by name; those that do not are left out.
func CompareOffers(before, after []Offer) (all []OfferDiff) {
	old, now := byName(before), byName(after)
	names := maps.Clone(old)
	maps.Copy(names, now)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		was, is := old[name], now[name]
		d := OfferDiff{Name: name, Before: was.version(), After: is.version(),
			Bytes: is.size() - was.size()}
		d.files(was, is)
		d.Gained, d.Lost = onlyIn(is.relations(), was.relations()), onlyIn(was.relations(),
			is.relations())
		if !d.Same() {
			all = append(all, d)
		}
	}
	return all
}

func byName(offers []Offer) map[string]Offer {
	all := map[string]Offer{}
	for _, o := range offers {
		all[o.Name] = o
	}
	return all
}

func (o Offer) version() string { return strings.Trim(o.Version+"-"+o.Release, "-") }

func (o Offer) relations() (all []string) {
	for _, name := range o.Provides {
		all = append(all, "provides "+name)
	}
	for _, name := range o.Requires {
		if !strings.HasPrefix(name, "rpmlib(") {
			all = append(all, "requires "+name)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func onlyIn(a, b []string) (only []string) {
	for _, one := range a {
		if _, ok := slices.BinarySearch(b, one); !ok {
			only = append(only, one)
		}
	}
	return only
}

func (d *OfferDiff) files(was, is Offer) {
	old := map[string]File{}
	for _, f := range was.Files {
		old[f.Path] = f
	}
	for _, f := range is.Files {
		earlier, ok := old[f.Path]
		delete(old, f.Path)
		switch {
		case !ok:
			d.Added = append(d.Added, f.Path)
		case f != earlier:
			d.Changed = append(d.Changed, f.Path)
		}
	}
	d.Removed = slices.Sorted(maps.Keys(old))
	for _, list := range [][]string{d.Added, d.Changed} {
		slices.SortFunc(list, cmp.Compare[string])
	}
}
