package image

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"buildsys/internal/buildtest/bound"
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
		{"commands without words", "linux\nset\nmenuentry\nlinux /m ${open $\n",
			[]BootEntry{{"", "/m", "${open $"}}},
		{"continued lines", "set a=\"x \\\n  y\"\nmenuentry \"T\" {\n  linux ($root)/vmlinuz \\\n" +
			"    root=/dev/dm-0 \\\n    dm-mod.create=\"root, \\\n$a\" \\\n  -- a\\\nb\n  initrd /i\n}\n" +
			"linux /k ends with \\\n",
			[]BootEntry{{"T", "($root)/vmlinuz", `root=/dev/dm-0 dm-mod.create="root, x   y" -- ab`},
				{"", "/k", "ends with"}}},
		{"quotes over lines", "linux /k 'a \\\nb' \"c\nd\" # 'no\nlinux /l \"e\\\"\\f\\$a\"\n",
			[]BootEntry{{"", "/k", "\"a \\\nb\" c\nd"}, {"", "/l", `e"\f$a`}}},
	}
	for _, test := range tests {
		if got, err := ParseGrub(test.config); err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%s: %v\n got %q\nwant %q", test.name, err, got, test.want)
		}
	}
}

// TestGrubCommandsThatAreNotRead: what is started must be what is listed.
func TestGrubCommandsThatAreNotRead(t *testing.T) {
	const entry = "linux ($root)/vmlinuz ro\n"
	for config, want := range map[string]string{
		"":                                          "",
		"insmod ext2\ninitrd /i\n":                  "",
		"echo none\nsleep 30\nreboot\n":             "",
		"search --no-floppy --set=private x\n":      "",
		"configfile (hd0,gpt3)/other.cfg\n":         `the command "configfile"`,
		"if true; then\n":                           `the command "if"`,
		"root=(hd1,gpt1)\n":                         `the command "root=(hd1,gpt1)"`,
		"search --fs-uuid --set=root x\n":           "where the kernel comes from",
		"search --set x\n":                          "where the kernel comes from",
		"regexp --set=1:root '(.*)' x\n":            "where the kernel comes from",
		"chainloader /EFI/other.efi\n":              `the command "chainloader"`,
		"set c=source\n$c /x\n":                     `the command "source"`,
		"echo x;source /x\n":                        `the command "source"`,
		"set timeout=0;normal (hd1,gpt1)/grub.cfg;": `the command "normal"`,
	} {
		entries, err := ParseGrub(config + entry)
		if (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) ||
			len(entries) != 1 {
			t.Errorf("%q: %q, %v; want %q", config, entries, err, want)
		}
	}
	entries, err := ParseGrub("set k=/a\nsearch --set=k x\nlinux $k; linux /b\n")
	want := []BootEntry{{"", "$k", ""}, {"", "/b", ""}}
	if err != nil || !slices.Equal(entries, want) {
		t.Errorf("%q, %v", entries, err)
	}
}

func TestGrubQuoteWithoutEnd(t *testing.T) {
	for _, config := range []string{"linux /k \"open\nlinux /l\n", "linux /k\nlinux 'x\n"} {
		entries, err := ParseGrub(config)
		if err == nil || !strings.Contains(err.Error(), "has no counterpart") {
			t.Errorf("%q: %q, %v", config, entries, err)
		}
	}
}

func TestVerityOnCommandLine(t *testing.T) {
	const table = "root,,,ro,0 16 verity 1 PARTUUID=a PARTUUID=b 4096 4096 2 1 sha256 abcd ef01"
	want := VerityTable{DataDevice: "PARTUUID=a", HashDevice: "PARTUUID=b", DataBlocks: 2,
		RootHash: "abcd", Salt: "ef01"}
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

// TestGrubVariablesThatDouble sets each variable to twice the last one: 25 lines stand for 32 MiB,
// fifty for more than any memory.
func TestGrubVariablesThatDouble(t *testing.T) {
	var config strings.Builder
	config.WriteString("set v0=x\n")
	for i := range 25 {
		fmt.Fprintf(&config, "set v%d=$v%d$v%[2]d\n", i+1, i)
	}
	config.WriteString("linux /k $v25\n")
	entries, err := ParseGrub(config.String())
	if err == nil || !strings.Contains(err.Error(), "expand to more than 4 MiB") {
		t.Errorf("%d bytes are %d entries, %v", config.Len(), len(entries), err)
	}
}

// TestGrubEntriesRepeatTheirTitle: the report has the title of a menu entry with each of its
// commands, and every kernel is looked up.
func TestGrubEntriesRepeatTheirTitle(t *testing.T) {
	title := "menuentry " + strings.Repeat("x", 1<<20-1000) + " {\n"
	for name, config := range map[string]string{
		"long title":   title + strings.Repeat("linux /k\n", 100),
		"many kernels": strings.Repeat("linux /k\n", 101),
	} {
		if entries, err := ParseGrub(config); err == nil {
			t.Errorf("%s: %d entries", name, len(entries))
		}
	}
}

func FuzzParseGrub(f *testing.F) {
	f.Add("set a=b\nmenuentry \"x\" {\nlinux ($root)/k $a ${a} 'q' \"$a\" \\\n}\n")
	f.Add("set a=xx\nset a=$a$a$a$a\nset a=$a$a$a$a\nmenuentry $a {\nlinux $a\nlinux $a\n")
	f.Add("linux /k \\\n a=\"b \\\n c\nd\" 'e\\\nf' g\\\nh \\")
	f.Fuzz(func(t *testing.T, config string) {
		var entries []BootEntry
		bound.Work(t, 64<<20, func() { entries, _ = ParseGrub(config) })
		size := 0
		for _, e := range entries {
			e.Verity()
			size += len(e.Title) + len(e.Kernel) + len(e.CommandLine)
		}
		if size > 2*maxGrubText { // quotes are added
			t.Errorf("%d bytes of configuration are %d bytes of entries", len(config), size)
		}
	})
}
