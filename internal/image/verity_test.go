package image

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"buildsys/internal/buildtest/need"
)

// formatWithVeritysetup makes a hash tree over data and returns it with its root hash.
func formatWithVeritysetup(t *testing.T, dataFile, salt, uuid string) (hashFile, root string) {
	t.Helper()
	hashFile = filepath.Join(t.TempDir(), "hash")
	out := run(t, "veritysetup", "format", "--format=1", "--hash=sha256", "--data-block-size=4096",
		"--hash-block-size=4096",
		"--salt="+salt, "--uuid="+uuid, dataFile, hashFile)
	m := regexp.MustCompile(`Root hash:\s*([0-9a-f]{64})`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("veritysetup printed no root hash:\n%s", out)
	}
	return hashFile, m[1]
}

// TestVeritysetupAgrees covers trees of one to three levels, with full and partly filled blocks.
func TestVeritysetupAgrees(t *testing.T) {
	need.Program(t, "veritysetup")
	id := sampleID()
	for _, blocks := range []int{1, 2, 127, 128, 129, 500, 128 * 128, 128*128 + 1} {
		data := make([]byte, blocks*verityBlock)
		rand.NewChaCha8([32]byte{byte(blocks)}).Read(data)
		dataFile := filepath.Join(t.TempDir(), "data")
		if err := os.WriteFile(dataFile, data, 0o600); err != nil {
			t.Fatal(err)
		}
		hashFile, want := formatWithVeritysetup(t, dataFile, id.Salt(), id.UUID("verity-A"))
		hash, err := os.ReadFile(hashFile)
		if err != nil {
			t.Fatal(err)
		}
		v, err := ReadVerity(bytes.NewReader(hash))
		if err != nil {
			t.Fatal(err)
		}
		if v.UUID != id.UUID("verity-A") || v.DataBlocks != int64(blocks) ||
			v.HashSize() != int64(len(hash)) {
			t.Errorf("%d blocks: superblock %+v, hash size %d, want %d", blocks, v, v.HashSize(), len(hash))
		}
		if root, err := v.Verify(context.Background(), bytes.NewReader(data),
			bytes.NewReader(hash)); err != nil || root != want {
			t.Errorf("%d blocks: root %s, %v, want %s", blocks, root, err, want)
		}
		flipEverywhere(t, v, data, hash, want)
	}
}

// flipEverywhere flips a bit in every level and expects that it is found in place or changes the
// root hash.
func flipEverywhere(t *testing.T, v Verity, data, hash []byte, want string) {
	t.Helper()
	for _, at := range []struct {
		name string
		b    []byte
		off  int
	}{{"first data byte", data, 0}, {"last data byte", data, len(data) - 1}, {"top of the tree", hash,
		4096 + 5}, {"end of the tree", hash, len(hash) - 4096}} {
		if at.off >= len(at.b) || at.off <= 512 && &at.b[0] == &hash[0] {
			continue // a single data block has no tree
		}
		at.b[at.off] ^= 1
		root, err := v.Verify(context.Background(), bytes.NewReader(data), bytes.NewReader(hash))
		if err == nil && root == want {
			t.Errorf("%d blocks: a flipped bit in the %s went unnoticed", v.DataBlocks, at.name)
		}
		if block := strconv.Itoa((at.off) / verityBlock); at.name == "last data byte" &&
			v.DataBlocks > 1 && !strings.Contains(err.Error(), "data: block "+block+" ") {
			t.Errorf("%d blocks: error %v does not name data block %s", v.DataBlocks, err, block)
		}
		at.b[at.off] ^= 1
	}
}

func FuzzReadVerity(f *testing.F) {
	seed := make([]byte, 512)
	copy(seed, veritySignature+"\x01\x00\x00\x00\x01\x00\x00\x00")
	copy(seed[32:], "sha256")
	seed[65], seed[69], seed[72] = 0x10, 0x10, 3
	f.Add(seed)
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := ReadVerity(bytes.NewReader(b))
		if err == nil && (v.DataSize() <= 0 || v.HashSize() < verityBlock) {
			t.Errorf("accepted %+v", v)
		}
	})
}
