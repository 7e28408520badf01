// partitions.tsv: the partition layout as tab-separated lines for rpm2img, which is a shell script.

package image

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// TSVName is the name of the file in the context of a variant's image.
const TSVName = "partitions.tsv"

// TSV returns the partition layout for tools/image/rpm2img: first lines that begin with '#',
//
//	#disk         <name> <guid> <size in MiB>     one per disk
//	#salt         <64 hex digits>
//	#verity-uuid  <uuid>
//	# disk        number key label ...            the column names
//
// then one line per partition. No field is empty: "-" stands for nothing, because the shell's read
// takes two tabs for one.
func (l Layout) TSV() []byte {
	var b bytes.Buffer
	line := func(fields ...any) {
		for i, f := range fields {
			if i > 0 {
				b.WriteByte('\t')
			}
			fmt.Fprint(&b, f)
		}
		b.WriteByte('\n')
	}
	for _, d := range l.Disks {
		line("#disk", d.Name, orElse(d.GUID, "-"), d.SizeMiB)
	}
	line("#salt", orElse(l.Salt, "-"))
	line("#verity-uuid", orElse(l.VerityUUID, "-"))
	line("# disk", "number", "key", "label", "type_guid", "part_guid", "start_mib", "size_mib",
		"attributes", "fs_uuid")
	for _, p := range l.Partitions {
		bits := make([]string, len(p.Attributes))
		for i, a := range p.Attributes {
			bits[i] = strconv.Itoa(a)
		}
		line(p.Disk, p.Number, p.Key, orElse(p.Label, "-"), p.Type, orElse(p.GUID, "-"), p.StartMiB,
			p.SizeMiB, orElse(strings.Join(bits, ","), "-"), orElse(p.FSUUID, "-"))
	}
	return b.Bytes()
}
