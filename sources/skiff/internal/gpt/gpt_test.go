// Tests of the GPT reader, with sgdisk as the program that makes the tables.

package gpt

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// disk is an 8 MiB disk with two partitions, made by sgdisk.
func disk(t testing.TB) []byte {
	t.Helper()
	sgdisk, err := exec.LookPath("sgdisk")
	if err != nil && os.Getenv("BUILDSYS_TEST_NO_SKIP") != "" {
		t.Fatal("sgdisk is missing: script/setup provides it")
	} else if err != nil {
		t.Skip("sgdisk is missing (script/setup provides it)")
	}
	name := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(name, make([]byte, 8<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(sgdisk,
		"-n", "1:2048:4095", "-c", "1:SKIFF-PRIVATE", "-t", "1:440408bb-eb0b-4328-a6e5-a29038fad706",
		"-u", "1:5b94e8df-28b8-485c-9d19-362263b5944c",
		"-n", "3:4096:6143", "-c", "3:é", "-t", "3:626f7474-6c65-6474-6861-726d61726b73",
		"-u", "3:69040874-417d-4e26-a764-7885f22007ea", name).CombinedOutput()
	if err != nil {
		t.Fatalf("sgdisk: %v\n%s", err, out)
	}
	image, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func TestRead(t *testing.T) {
	got, err := Read(bytes.NewReader(disk(t)))
	if err != nil {
		t.Fatal(err)
	}
	want := []Partition{
		{1, "440408bb-eb0b-4328-a6e5-a29038fad706", "5b94e8df-28b8-485c-9d19-362263b5944c",
			"SKIFF-PRIVATE", 1 << 20, 1 << 20},
		{3, "626f7474-6c65-6474-6861-726d61726b73", "69040874-417d-4e26-a764-7885f22007ea", "é", 2 << 20,
			1 << 20},
	}
	if !slices.Equal(got, want) {
		t.Errorf("Read = %+v\nwant   %+v", got, want)
	}
}

func TestReadRefuses(t *testing.T) {
	image := disk(t)
	tests := []struct {
		name string
		at   int // byte to flip
		want string
	}{
		{"signature", 512, "no GUID partition table"},
		{"header", 512 + 40, "header has the checksum"},
		{"entries", 1024 + 56, "entries have the checksum"},
		{"header size", 512 + 14, "header has the size"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bad := slices.Clone(image)
			bad[test.at] ^= 1
			if _, err := Read(bytes.NewReader(bad)); err == nil ||
				!strings.Contains(err.Error(), test.want) {
				t.Errorf("Read = %v, want an error with %q", err, test.want)
			}
		})
	}
	if _, err := Read(bytes.NewReader(image[:700])); err == nil {
		t.Error("Read of a truncated disk succeeded")
	}
}

func FuzzRead(f *testing.F) {
	f.Add(make([]byte, 1024))
	// must not panic, whatever comes
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = Read(bytes.NewReader(b)) })
}
