// guests: what a variant's manifest says about enclaves and about images inside its image.

package manifest

import (
	"path"
	"slices"
	"strconv"
	"strings"
)

// Guest is an entry of guest-images: the images of another variant inside the image of this one.
type Guest struct {
	Crate string // of the other variant
	Path  string // directory in the image, absolute
	Line  int
}

// readGuests reads guest-images: paths by the names of crates.
func (v *Variant) readGuests(t *table) {
	guests := t.sub("guest-images")
	if guests == nil {
		return
	}
	if v.ImageFormat == FormatEIF {
		t.fault("guest-images", "", "\"guest-images\"%s: an enclave cannot have guests", t.in())
	}
	for crate := range guests.vals {
		at, ok := guests.str(crate)
		switch {
		case !ok:
			continue
		case crate == v.Crate:
			guests.fault(crate, "", "variant %s cannot be a guest of itself", v.Name)
		case !path.IsAbs(at) || path.Clean(at) != at || strings.ContainsAny(at, ":\r\n"):
			guests.fault(crate, "write an absolute path without \"..\" and ':'",
				"%s cannot be the directory of guest %s", quote(at), quote(crate))
		default:
			v.Guests = append(v.Guests, Guest{crate, at, guests.line(crate)})
		}
	}
	slices.SortFunc(v.Guests, func(a, b Guest) int { return strings.Compare(a.Crate, b.Crate) })
}

// readEIF checks the keys about enclaves, which no recipe uses yet.
func (t *table) readEIF() {
	t.choice("eif-kernel-format", "bzimage", "bzimage", "vmlinux")
	const key = "eif-pcie-flags"
	t.accept(key)
	good := true
	switch v := t.vals[key].(type) {
	case nil:
	case int64:
		good = v >= 0 && v <= 0xffff
	case string:
		digits, hex := strings.CutPrefix(v, "0x")
		_, err := strconv.ParseUint(digits, 16, 16)
		good = hex && err == nil
	default:
		good = false
	}
	if !good {
		t.fault(key, "", "%q%s must be a number of 16 bits, or one as in \"0x240\"", key, t.in())
	}
}
