// Fills in a variant's template.ovf, the description of a virtual machine in an appliance (OVA).

package image

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Appliance has the values for the template of an appliance.
type Appliance struct {
	// OSDisk and DataDisk are the names of the VMDK files; DataDisk is empty if there is one disk.
	OSDisk, DataDisk string
	// OSGiB and DataGiB are the capacities that the disks get when the appliance is imported.
	OSGiB, DataGiB int
	More           map[string]string // further values, by placeholder
}

// ovfPlaceholder matches {{NAME}}, and anything else between two pairs of braces.
var ovfPlaceholder = regexp.MustCompile(`\{\{(.*?)\}\}`)

// RenderOVF replaces the placeholders {{OS_DISK}}, {{DATA_DISK}}, {{OS_DISK_BYTES}},
// {{DATA_DISK_BYTES}} and those of More, the names that Bottlerocket's templates use. It returns an
// error, with the line, for a template that describes another number of disks, or has an unknown
// placeholder.
func RenderOVF(template []byte, a Appliance) ([]byte, error) {
	values := map[string]string{"OS_DISK": a.OSDisk, "OS_DISK_BYTES": gibBytes(a.OSGiB)}
	if a.DataDisk != "" {
		values["DATA_DISK"], values["DATA_DISK_BYTES"] = a.DataDisk, gibBytes(a.DataGiB)
	}
	maps.Copy(values, a.More)
	used := map[string]bool{}
	lines := strings.SplitAfter(string(template), "\n")
	for i, line := range lines {
		var unknown string
		lines[i] = ovfPlaceholder.ReplaceAllStringFunc(line, func(field string) string {
			name := field[2 : len(field)-2]
			value, ok := values[name]
			if !ok && unknown == "" {
				unknown = field
			}
			used[name] = true
			return value
		})
		switch {
		case unknown == "":
		case a.DataDisk == "" && strings.HasPrefix(unknown, "{{DATA_DISK"):
			return nil, fmt.Errorf("line %d has %s, but partition-plan %q has one disk only", i+1, unknown,
				Unified)
		default:
			return nil, fmt.Errorf("line %d has the unknown placeholder %s; known are %s", i+1, unknown,
				strings.Join(slices.Sorted(maps.Keys(values)), ", "))
		}
	}
	for _, name := range []string{"OS_DISK", "DATA_DISK"} {
		if values[name] != "" && !used[name] {
			return nil, fmt.Errorf("it never mentions {{%s}}, so the appliance would lack that disk", name)
		}
	}
	return []byte(strings.Join(lines, "")), nil
}

func gibBytes(gib int) string { return strconv.FormatInt(int64(gib)<<30, 10) }
