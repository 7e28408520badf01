package image

import (
	"slices"
	"testing"
)

func TestParseGrub(t *testing.T) {
	tests := []struct {
		name, config string
		want         []BootEntry
	}{
		{"as rpm2img writes it", `set default=0
set timeout=0
probe --part-uuid --set=boot_uuid $root
set dm_verity_root="root,,,ro,0 8 verity 1 PARTUUID=$boot_uuid/PARTNROFF=1"
menuentry "Skiff OS 0.1.0" {
  linux ($root)/vmlinuz console=ttyS0  root=/dev/dm-0 dm-mod.create="$dm_verity_root"
}
`, []BootEntry{{"Skiff OS 0.1.0", "($root)/vmlinuz",
			`console=ttyS0 root=/dev/dm-0 dm-mod.create="root,,,ro,0 8 verity 1 PARTUUID=$boot_uuid/PARTNROFF=1"`}}},
		{"several entries and none",
			"linux /a x\nmenuentry 'B' --class os {\n linuxefi /b\n}\nlinux /c\n",
			[]BootEntry{{"", "/a", "x"}, {"B", "/b", ""}, {"", "/c", ""}}},
		{"quoting", `set v=1
# linux /not
linux /k a\ b "c d" 'e $v' f${v}g $v$w "x=$v"#y # no`,
			[]BootEntry{{"", "/k", `"a b" "c d" "e $v" f1g 1$w x=1#y`}}},
		{"broken quotes", "linux /k \"open\nlinux\nset\nmenuentry\nlinux /m ${open $\n",
			[]BootEntry{{"", "/k", "open\n"}, {"", "/m", "${open $"}}},
	}
	for _, test := range tests {
		if got := ParseGrub(test.config); !slices.Equal(got, test.want) {
			t.Errorf("%s:\n got %q\nwant %q", test.name, got, test.want)
		}
	}
}

func TestVerityOnCommandLine(t *testing.T) {
	const table = "root,,,ro,0 16 verity 1 PARTUUID=a PARTUUID=b 4096 4096 2 1 sha256 abcd ef01"
	want := VerityTable{DataBlocks: 2, RootHash: "abcd", Salt: "ef01"}
	for _, line := range []string{`root=/dev/dm-0 dm-mod.create="` + table +
		` 1 ignore_zero_blocks" ro`, `dm-mod.create="` + table + `"`} {
		if got, ok := (BootEntry{CommandLine: line}).Verity(); !ok || got != want {
			t.Errorf("%s: %+v, %v", line, got, ok)
		}
	}
	for _, line := range []string{"", "ro", table,
		`dm-mod.create="root,,,ro,0 16 verity 1 a b 4096 4096 2 1 sha256 abcd"`,
		`dm-mod.create="x verity 1 a b 4096 4096 two 1 sha256 abcd ef01"`} {
		if got, ok := (BootEntry{CommandLine: line}).Verity(); ok {
			t.Errorf("%s: %+v", line, got)
		}
	}
}

func FuzzParseGrub(f *testing.F) {
	f.Add("set a=b\nmenuentry \"x\" {\nlinux ($root)/k $a ${a} 'q' \"$a\" \\\n}\n")
	f.Fuzz(func(_ *testing.T, config string) {
		for _, e := range ParseGrub(config) {
			e.Verity()
		}
	})
}
