// Results of templates, and templates that are rejected.

package image

import (
	"strings"
	"testing"
)

func TestRenderOVF(t *testing.T) {
	split := Appliance{OSDisk: "a.vmdk", DataDisk: "a-data.vmdk", OSGiB: 2, DataGiB: 20,
		More: map[string]string{"PK_CERT_DER_HEX": "30"}}
	unified := Appliance{OSDisk: "a.vmdk", OSGiB: 22}
	for name, c := range map[string]struct {
		a        Appliance
		template string
		want     string // the result, or part of the error
	}{
		"all": {split, "<f href=\"{{OS_DISK}}\" n=\"{{DATA_DISK}}\"/>\n<c {{OS_DISK_BYTES}} " +
			"{{DATA_DISK_BYTES}} {{OS_DISK}}/>\n{{PK_CERT_DER_HEX}}\n",
			"<f href=\"a.vmdk\" n=\"a-data.vmdk\"/>\n<c 2147483648 21474836480 a.vmdk/>\n30\n"},
		"one disk":     {unified, "{{OS_DISK}} {{OS_DISK_BYTES}}", "a.vmdk 23622320128"},
		"no data disk": {split, "{{OS_DISK}}", "never mentions {{DATA_DISK}}"},
		"no OS disk":   {unified, "<Envelope/>", "never mentions {{OS_DISK}}"},
		"a data disk extra": {unified, "{{OS_DISK}}\n{{DATA_DISK}}",
			`line 2 has {{DATA_DISK}}, but partition-plan "unified"`},
		"typing mistake": {split, "{{OS_DISK}}\n\n{{OS_DSIK}} {{DATA_DISK}}",
			"line 3 has the unknown placeholder {{OS_DSIK}}; known are DATA_DISK, DATA_DISK_BYTES, "},
		"spaces": {unified, "{{ OS_DISK }}",
			"line 1 has the unknown placeholder {{ OS_DISK }}"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := RenderOVF([]byte(c.template), c.a)
			if err != nil {
				if !strings.Contains(err.Error(), c.want) {
					t.Errorf("error %q, want one with %q", err, c.want)
				}
			} else if string(got) != c.want {
				t.Errorf("%q\nwant %q", got, c.want)
			}
		})
	}
}
