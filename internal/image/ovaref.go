// What else reads an OVA: the programs that import it, which read the tar archive in its oldest
// form, and take the disks from the description.

package image

import (
	"archive/tar"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
)

// textHead keeps the first bytes of a member, which is a text if there are no more.
type textHead struct{ strings.Builder }

func (t *textHead) Write(p []byte) (int, error) {
	t.Builder.Write(p[:min(len(p), maxOVAText-t.Len())])
	return len(p), nil
}

// checkPlainHeader refuses a member that a reader of plain tar archives sees under another name or
// with another size: those of an extension are in front of the header (DMTF DSP0243 wants ustar).
// The contents begin at an offset of the archive, and the header is the block before.
func checkPlainHeader(archive io.ReaderAt, h *tar.Header, at int64) error {
	block := make([]byte, 512)
	if _, err := archive.ReadAt(block, at-int64(len(block))); err != nil {
		return fmt.Errorf("read archive: %w", err)
	}
	name, _, _ := bytes.Cut(block[:100], []byte{0})
	if string(name) != h.Name || strings.Contains(h.Name, "/") || block[345] != 0 {
		return fmt.Errorf("%q in the archive has another name, %q, for some programs, or lies in a "+
			"directory", h.Name, name)
	}
	var size int64
	_, err := fmt.Sscanf(strings.Trim(string(block[124:136]), " \x00"), "%o", &size)
	if block[124]&0x80 == 0 && (err != nil || size != h.Size) {
		return fmt.Errorf("%q in the archive has another size for some programs", h.Name)
	}
	return nil
}

// checkOVF refuses a description that names files outside of the archive, or its disks in another
// order: it, and not the archive, says which one a machine starts from. members are by name.
func checkOVF(text string, disks []section, members map[string]string) error {
	var names []string
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("the description is not XML: %w", err)
		}
		start, ok := token.(xml.StartElement)
		if !ok || start.Name.Local != "File" {
			continue
		}
		for _, a := range start.Attr {
			switch a.Name.Local {
			case "href":
				if _, there := members[a.Value]; !there {
					return fmt.Errorf("the description names %.200q, which the archive lacks", a.Value)
				}
				if path.Ext(a.Value) == ".vmdk" {
					names = append(names, a.Value)
				}
			case "chunkSize", "compression":
				if a.Value != "" && a.Value != "identity" {
					return fmt.Errorf("the description says that a file has %s %q", a.Name.Local, a.Value)
				}
			}
		}
	}
	var want []string
	for _, one := range disks {
		want = append(want, one.name)
	}
	if !slices.Equal(names, want) {
		return fmt.Errorf("the description names the disks %.500q, the archive has %q", names, want)
	}
	return nil
}

// errTwoOVF reports an archive of which readers take different descriptions.
var errTwoOVF = errors.New("the archive has two descriptions (.ovf)")
