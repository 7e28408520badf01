package archive

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os/exec"
	"strings"
	"testing"

	"buildsys/internal/buildtest/bound"
	"buildsys/internal/buildtest/need"
)

func unxz(data []byte) ([]byte, error) {
	return io.ReadAll(newXZ(bufio.NewReader(bytes.NewReader(data))))
}

// packXZ packs text with the xz program.
func packXZ(t *testing.T, text []byte, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("xz", append([]string{"-c"}, args...)...)
	cmd.Stdin = bytes.NewReader(text)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestXZ unpacks what xz packs, in all forms of its container.
func TestXZ(t *testing.T) {
	need.Program(t, "xz")
	var text []byte
	for i := range 100_000 {
		text = append(text, byte(i*i>>7), byte(i>>3), 'a', 'b')
	}
	one := packXZ(t, text)
	for name, data := range map[string][]byte{
		"no check": packXZ(t, text, "--check=none"), "CRC32": packXZ(t, text, "--check=crc32"),
		"SHA-256": packXZ(t, text, "--check=sha256"), "the best": packXZ(t, text, "-9e"),
		"the fastest": packXZ(t, text, "-0"), "blocks": packXZ(t, text, "--block-size=50001"),
		"blocks with sizes": packXZ(t, text, "-T2", "--block-size=70001"),
	} {
		if got, err := unxz(data); err != nil || !bytes.Equal(got, text) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	two := bytes.Join([][]byte{one, make([]byte, 8), packXZ(t, nil), one, make([]byte, 4)}, nil)
	if got, err := unxz(two); err != nil || !bytes.Equal(got, append(text, text...)) {
		t.Errorf("several streams: %d bytes, %v", len(got), err)
	}
	for n := 1; n < len(one); n += 1 + n/7 {
		if _, err := unxz(one[:n]); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d of %d bytes: %v", n, len(one), err)
		}
	}
}

func TestXZRefuses(t *testing.T) {
	need.Program(t, "xz")
	for want, data := range map[string][]byte{
		"a dictionary of 128 MiB": packXZ(t, []byte("a"), "--lzma2=dict=128MiB"),
		"a filter other":          packXZ(t, []byte("a"), "--x86", "--lzma2"),
		"the file is damaged":     append(packXZ(t, []byte("a")), "more than four bytes"...),
	} {
		if _, err := unxz(data); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %s", err, want)
		}
	}
}

// blocksOfXZ returns a stream of n empty blocks with dictionaries of a size in xz's encoding.
func blocksOfXZ(n int, dict byte) []byte {
	header := []byte{2, 0, 0x21, 1, dict, 0, 0, 0}
	header = binary.LittleEndian.AppendUint32(header, crc32.ChecksumIEEE(header))
	block := append(header, 0, 0, 0, 0) // no chunk, and padding
	stream := append([]byte("\xfd7zXZ\x00\x00\x00"), 0xff, 0x12, 0xd9, 0x41)
	return append(stream, bytes.Repeat(block, n)...)
}

// TestXZOfManyDictionaries: sixteen bytes make a dictionary that has to be cleared.
func TestXZOfManyDictionaries(t *testing.T) {
	const kib64, mib64 = 8, 28
	bound.Work(t, maxDicts+maxDicts/8, func() {
		_, err := unxz(blocksOfXZ(257, mib64))
		if err == nil || !strings.Contains(err.Error(), "4 with 0 bytes, and dictionaries of 335544320") {
			t.Errorf("many dictionaries: %v", err)
		}
	})
	_, err := unxz(blocksOfXZ(maxBlocks+1, 0))
	if err == nil || !strings.Contains(err.Error(), "65536 with 0 bytes") {
		t.Errorf("many blocks: %v", err)
	}
	if _, err := unxz(blocksOfXZ(100, kib64)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v", err) // the blocks are good, the index is missing
	}
}
