// entry_test: entries and IDs as text: only what was written is read.

package cache

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestParseIDs(t *testing.T) {
	good := strings.Repeat("0a", 32)
	if id, err := ParseActionID(good); err != nil || id.String() != good || id[31] != 10 {
		t.Errorf("got %v, %v", id, err)
	}
	if id, err := ParseContentID(good); err != nil || id.String() != good {
		t.Errorf("got %v, %v", id, err)
	}
	for _, bad := range []string{"", "0a", good + "0", strings.ToUpper(good), "0x" + good[2:], "zz" +
		good[2:], " " + good[1:]} {
		if id, err := ParseActionID(bad); err == nil || id != (ActionID{}) {
			t.Errorf("%q was read as %v", bad, id)
		}
	}
}

func fullEntry() Entry {
	e := entryOf("package/bash x86_64")
	e.Files = []File{
		{Name: "a b\n.rpm", Mode: 0o644, Size: 5, SHA256: [32]byte{1}},
		{Name: "latest", Link: "sub/tool"},
		{Name: "sub/tool", Mode: 0o755, Size: 0, SHA256: [32]byte{2}},
	}
	e.Content = ContentOf(e.Files)
	e.Log = Blob{[32]byte{3}, 7}
	e.Built = time.Unix(1700000000, 5).UTC()
	return e
}

// The content ID depends on names, bytes, execute bits and links, and on nothing else in a File.
func TestContentOf(t *testing.T) {
	seen := map[ContentID]string{}
	for name, edit := range map[string]func(*Entry){
		"as it is": func(*Entry) {},
		"name":     func(e *Entry) { e.Files[0].Name = "a" },
		"size":     func(e *Entry) { e.Files[0].Size++ },
		"bytes":    func(e *Entry) { e.Files[0].SHA256[31]++ },
		"mode":     func(e *Entry) { e.Files[0].Mode = 0o755 },
		"target":   func(e *Entry) { e.Files[1].Link = "sub" },
		"fewer":    func(e *Entry) { e.Files = e.Files[1:] },
		"none":     func(e *Entry) { e.Files = nil },
	} {
		e := fullEntry()
		edit(&e)
		if other, ok := seen[ContentOf(e.Files)]; ok {
			t.Errorf("%s and %s have one content ID", name, other)
		}
		seen[ContentOf(e.Files)] = name
	}
}

// TestLinksAreFollowed: links between outputs may lead through directories and other links.
func TestLinksAreFollowed(t *testing.T) {
	e := fullEntry()
	e.Files = []File{{Name: "a", Link: "d/../s/./f"}, {Name: "d/up", Link: ".."},
		{Name: "dir", Link: "d"}, {Name: "s/f", Mode: 0o644}, {Name: "through", Link: "dir/up/s/f"}}
	e.Content = ContentOf(e.Files)
	if err := e.Check(); err != nil {
		t.Error(err)
	}
}

// Entries that Put would not write are refused even if their checksum is right.
func TestForgedEntries(t *testing.T) {
	for name, edit := range map[string]func(*Entry){
		"content":  func(e *Entry) { e.Content[0]++ },
		"up":       func(e *Entry) { e.Files[0].Name = "../a" },
		"absolute": func(e *Entry) { e.Files[0].Name = "/a" },
		"unclean":  func(e *Entry) { e.Files[0].Name = "a/./b" },
		"dot":      func(e *Entry) { e.Files[0].Name = "." },
		"order":    func(e *Entry) { e.Files[0], e.Files[1] = e.Files[1], e.Files[0] },
		"twice":    func(e *Entry) { e.Files[1] = e.Files[0] },
		"link up":  func(e *Entry) { e.Files[1].Link = "../x" },
		"link abs": func(e *Entry) { e.Files[1].Link = "/etc/passwd" },
		"link by way of another": func(e *Entry) {
			e.Files = []File{{Name: "d", Link: "."},
				{Name: "x.img", Link: "d/d/d/d/../../../../etc/passwd"}}
		},
		"link by way of a file": func(e *Entry) { e.Files[1].Link = "sub/tool/../sub/tool" },
		"link to nothing":       func(e *Entry) { e.Files[1].Link = "sub/none" },
		"link to itself":        func(e *Entry) { e.Files[1].Link = "latest" },
		"below a link": func(e *Entry) {
			e.Files = []File{{Name: "d", Link: "s"}, {Name: "d/x", Mode: 0o644}, {Name: "s/x", Mode: 0o644}}
		},
		"below a file": func(e *Entry) {
			e.Files = []File{{Name: "d", Mode: 0o644}, {Name: "d/x", Mode: 0o644}}
		},
		"deep": func(e *Entry) { e.Files[2].Name = strings.Repeat("z/", 64) + "z" },
		"links that double": func(e *Entry) {
			e.Files = []File{{Name: "a", Mode: 0o644}}
			for i := range 4000 {
				e.Files = append(e.Files, File{Name: fmt.Sprintf("l%04d", i), Link: strings.Repeat("./",
					2000) + "a"})
			}
		},
		"set-uid": func(e *Entry) { e.Files[0].Mode = 0o4755 },
		"size":    func(e *Entry) { e.Files[0].Size = -1 },
		"took":    func(e *Entry) { e.Took = -1 },
	} {
		e := fullEntry()
		edit(&e)
		if name != "content" {
			e.Content = ContentOf(e.Files)
		}
		if got, err := decodeEntry(e.encode()); err == nil {
			t.Errorf("%s: accepted as %+v", name, got)
		}
	}
}

func FuzzDecodeEntry(f *testing.F) {
	good := fullEntry().encode()
	f.Add(good, false)
	f.Add(good[:len(good)-sumLength], true)
	f.Add([]byte{}, false)
	f.Fuzz(func(t *testing.T, data []byte, sum bool) {
		if sum {
			data = appendSum(string(data))
		}
		e, err := decodeEntry(data)
		if err == nil && !bytes.Equal(e.encode(), data) {
			t.Errorf("%q was read as %+v, which is written %q", data, e, e.encode())
		}
		if _, took, err := decodeRecord(data); err == nil && took < 0 {
			t.Errorf("%q was read as %v", data, took)
		}
	})
}
