// Tests of what skiffd works out without a kernel of its own: device numbers, input events, the
// system's mounts.

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
)

func event(kind, code uint16, value uint32) []byte {
	b := make([]byte, eventSize)
	binary.NativeEndian.PutUint16(b[16:], kind)
	binary.NativeEndian.PutUint16(b[18:], code)
	binary.NativeEndian.PutUint32(b[20:], value)
	return b
}

func TestWaitForPress(t *testing.T) {
	others := bytes.Join([][]byte{event(0, keyPower, 1), event(evKey, 30, 1),
		event(evKey, keyPower, 0)}, nil)
	if err := waitForPress(bytes.NewReader(others)); !errors.Is(err, io.EOF) {
		t.Errorf("without a press: %v, want EOF", err)
	}
	r := bytes.NewReader(append(others, append(event(evKey, keyPower, 1), event(0, 0, 0)...)...))
	if err := waitForPress(r); err != nil {
		t.Errorf("with a press: %v", err)
	}
	if r.Len() != eventSize {
		t.Errorf("%d bytes left unread, want the one event after the press", r.Len())
	}
	if err := waitForPress(strings.NewReader("short")); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("torn event: %v, want unexpected EOF", err)
	}
}

func TestSplit(t *testing.T) {
	for _, test := range []struct {
		dev          uint64
		major, minor uint32
	}{{0xfe00, 254, 0}, {0x811, 8, 17}, {0x11032c, 259, 300}, {1 << 44, 0x1000, 0}} {
		if major, minor := split(test.dev); major != test.major || minor != test.minor {
			t.Errorf("split(%#x) = %d:%d, want %d:%d", test.dev, major, minor, test.major, test.minor)
		}
	}
}

func TestSystemMountsAreInOrder(t *testing.T) {
	seen := map[string]bool{"/": true}
	for _, m := range systemMounts() {
		parent := m.target[:max(1, strings.LastIndex(m.target, "/"))]
		if !seen[parent] {
			t.Errorf("%s is mounted before %s", m.target, parent)
		}
		seen[m.target] = true
	}
}
