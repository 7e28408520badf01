// files: what the header of an RPM says about its files.

package rpm

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Info is what is asked most of an RPM.
type Info struct {
	Name, Version, Release, Arch string
	Source                       string // name of the file of the source RPM
	Files                        []File
}

// File is a file of an RPM.
type File struct {
	Path   string
	Mode   uint16 // type and permissions, as in stat(2)
	Size   int64
	SHA256 string // in hex digits; empty for what has no contents, or with another algorithm
	Target string // of a symbolic link
	Ghost  bool   // the RPM names it but does not bring it
	// License is true for the text of a licence: the spec says so, or it lies where they are.
	License bool
}

const (
	tagRPMName    = 1000
	tagVersion    = 1001
	tagRelease    = 1002
	tagSummary    = 1004
	tagLicense    = 1014
	tagGroup      = 1016
	tagURL        = 1020
	tagArch       = 1022
	tagOldNames   = 1027
	tagSizes      = 1028
	tagModes      = 1030
	tagDigests    = 1035
	tagLinks      = 1036
	tagFlags      = 1037
	tagSource     = 1044
	tagLongSizes  = 5008
	tagDigestAlgo = 5011

	algoSHA256  = "8"
	flagGhost   = 1 << 6
	flagLicense = 1 << 7
)

var errNames = errors.New("the names of its files have more than the limit")

// ReadInfo reads the header of the RPM at the beginning of in.
func ReadInfo(in io.Reader) (Info, error) {
	h, err := Read(in, tagRPMName, tagVersion, tagRelease, tagArch, tagSizes, tagModes, tagDigests,
		tagLinks, tagFlags, tagSource, tagLongSizes, tagDigestAlgo, tagDirIndexes, tagBaseNames,
		tagDirNames)
	if err != nil {
		return Info{}, err
	}
	i := Info{Name: h.value(tagRPMName, 0), Version: h.value(tagVersion, 0),
		Release: h.value(tagRelease, 0), Arch: h.value(tagArch, 0), Source: h.value(tagSource, 0)}
	paths, ok := h.files()
	if !ok {
		return i, fmt.Errorf("%s: %w", i.Name, errNames)
	}
	known := h.value(tagDigestAlgo, 0) == algoSHA256
	for path, n := range paths {
		f := File{Path: path, Target: h.value(tagLinks, n)}
		mode, _ := strconv.ParseUint(h.value(tagModes, n), 10, 16)
		flags, _ := strconv.ParseUint(h.value(tagFlags, n), 10, 32)
		f.Mode, f.Ghost = uint16(mode), flags&flagGhost != 0
		f.License = flags&flagLicense != 0 || strings.Contains(path, "/share/licenses/")
		if f.Size, err = strconv.ParseInt(h.value(tagLongSizes, n), 10, 64); err != nil {
			f.Size, _ = strconv.ParseInt(h.value(tagSizes, n), 10, 64)
		}
		if known {
			f.SHA256 = h.value(tagDigests, n)
		}
		i.Files = append(i.Files, f)
	}
	return i, nil
}
