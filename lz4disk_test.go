// lz4disk_test: disks are compressed to the bytes that the program lz4 makes of them.

package buildsys

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"buildsys/internal/buildtest/need"
)

// TestLZ4Disk holds tools/disk/lz4-disk against lz4: the same bytes, whatever is data, zeros and
// holes, and however long the last block is.
func TestLZ4Disk(t *testing.T) {
	need.Programs(t, "python3", "lz4")
	random := make([]byte, 5<<20)
	rand.NewChaCha8([32]byte{1}).Read(random)
	// Words that compress better the longer one looks for earlier ones.
	text, words := make([]byte, 0, 6<<20), rand.New(rand.NewPCG(1, 1))
	for len(text) < 6<<20 {
		at := words.IntN(40)
		text = append(text, random[at:at+3+words.IntN(6)]...)
	}
	type piece struct {
		at   int64
		data []byte
	}
	for _, tt := range []struct {
		name   string
		size   int64
		pieces []piece
	}{
		{"hole", 16 << 20, nil},
		{"short last block", 9<<20 + 1, nil},
		{"zeros that are no hole", 8 << 20, []piece{{0, make([]byte, 5<<20)}}},
		{"nothing to compress", 5 << 20, []piece{{0, random}}},
		{"data between holes", 64<<20 + 513, []piece{{7<<20 + 3, text}, {41 << 20, random},
			{64 << 20, text[:513]}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			disk := filepath.Join(t.TempDir(), "disk")
			f, err := os.Create(disk)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if err := f.Truncate(tt.size); err != nil {
				t.Fatal(err)
			}
			for _, p := range tt.pieces {
				if _, err := f.WriteAt(p.data, p.at); err != nil {
					t.Fatal(err)
				}
			}
			out, err := exec.Command("python3", "tools/disk/lz4-disk", disk, disk+".lz4").CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			got, err := os.ReadFile(disk + ".lz4")
			if err != nil {
				t.Fatal(err)
			}
			pipe := exec.Command("lz4", "-q", "-9", "-c", "-")
			pipe.Stdin = f // at its beginning: WriteAt does not move it
			want, err := pipe.Output()
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%d bytes, which are not the %d of lz4", len(got), len(want))
			}
		})
	}
}

// TestLZ4DiskLeavesToOthers checks the exit status for what the program lz4 has to compress.
func TestLZ4DiskLeavesToOthers(t *testing.T) {
	need.Programs(t, "python3")
	small := filepath.Join(t.TempDir(), "small")
	if err := os.WriteFile(small, make([]byte, 4<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	err := exec.Command("python3", "tools/disk/lz4-disk", small, small+".lz4").Run()
	if e, ok := errors.AsType[*exec.ExitError](err); !ok || e.ExitCode() != 3 {
		t.Errorf("got %v, want exit status 3", err)
	}
	if _, err := os.Stat(small + ".lz4"); err == nil {
		t.Error("it wrote something")
	}
}
