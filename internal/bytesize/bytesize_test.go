package bytesize

import (
	"math"
	"testing"
)

func TestFormat(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 bytes", 1: "1 byte", 1023: "1023 bytes",
		1 << 10: "1 KiB", 1536: "1.5 KiB", 1<<20 - 1: "1023.9 KiB",
		1 << 20: "1 MiB", 35_800_000: "34.1 MiB", 8<<20 - 4096: "7.9 MiB",
		16 << 30: "16 GiB", 1<<40 - 1: "1023.9 GiB", 3 << 39: "1.5 TiB", 1 << 50: "1024 TiB",
		math.MaxInt64: "8388607.9 TiB",
	} {
		if got := Format(n); got != want {
			t.Errorf("Format(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestParse(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "512": 512, "1K": 1 << 10, "20G": 20 << 30, "8T": 8 << 40,
	} {
		if got, err := Parse(text); err != nil || got != want {
			t.Errorf("Parse(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "G", "-1", "1.5G", "1g", "1GB", "99999999T"} {
		if got, err := Parse(text); err == nil {
			t.Errorf("Parse(%q) = %d", text, got)
		}
	}
}
