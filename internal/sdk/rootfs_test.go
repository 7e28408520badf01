// rootfs_test: root file systems as engines send them, made the same.

package sdk

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// sent returns a tar as an engine sends it, of which one detail is as change makes it.
func sent(t *testing.T, change func(h []*tar.Header) []*tar.Header) []byte {
	t.Helper()
	now := time.Unix(2_000_000_000, 5)
	all := []*tar.Header{
		{Name: ".sdk/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: ".sdk/work", Mode: 0o644},
		{Name: "dev/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "dev/null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3},
		{Name: "etc/", Typeflag: tar.TypeDir, Mode: 0o755, ModTime: now},
		{Name: "etc/hosts", Size: 1},
		{Name: "etc/motd", Size: 1, ModTime: now, Mode: 0o644, Uname: "root"},
		{Name: "etc/old", Size: 1, ModTime: time.Unix(1_000_000_000, 7), Mode: 0o644, Uid: 42},
		{Name: "usr/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "usr/a", Mode: 0o4755, PAXRecords: map[string]string{capability: "c",
			"SCHILY.xattr.user.x": "x"}},
		{Name: "usr/a/b", Typeflag: tar.TypeLink, Linkname: "usr/a"},
		{Name: "usr/a-b", Typeflag: tar.TypeSymlink, Linkname: "../x", ModTime: now},
	}
	all[10].Name = "usr/a-a"
	if change != nil {
		all = change(all)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range all {
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, strings.Repeat("x", int(h.Size))); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestNormalize(t *testing.T) {
	var out bytes.Buffer
	if err := Normalize(&out, bytes.NewReader(sent(t, nil)), 1735689600, ".sdk"); err != nil {
		t.Fatal(err)
	}
	got, first := "", bytes.Clone(out.Bytes())
	for r := tar.NewReader(&out); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got += fmt.Sprintf("%s %o %d %d%s %s %d %s\n", h.Name, h.Mode, h.Uid, h.ModTime.Unix(), h.Uname,
			h.Linkname, len(h.PAXRecords), h.PAXRecords[capability])
	}
	const want = "dev/ 755 0 1735689600  0 \netc/ 755 0 1735689600  0 \n" +
		"etc/motd 644 0 1735689600  0 \netc/old 644 42 1000000000  0 \nusr/ 755 0 1735689600  0 \n" +
		"usr/a 4755 0 0  1 c\nusr/a-a 0 0 0 usr/a 0 \nusr/a-b 777 0 1735689600 ../x 0 \n"
	if got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	// Another engine, another day.
	var other bytes.Buffer
	err := Normalize(&other, bytes.NewReader(sent(t, func(all []*tar.Header) []*tar.Header {
		for _, h := range all {
			if h.ModTime.Unix() > 1735689600 || h.Typeflag == tar.TypeDir {
				h.ModTime = time.Unix(1_900_000_000, 9)
			}
			h.Name, h.Format, h.Gname = strings.TrimSuffix(h.Name, "/"), tar.FormatPAX, "wheel"
		}
		return all[1:]
	})), 1735689600, ".sdk")
	if err != nil || !bytes.Equal(other.Bytes(), first) {
		t.Errorf("not the same: %v", err)
	}
}

func TestHostileRootfs(t *testing.T) {
	add := func(at int, h tar.Header) func([]*tar.Header) []*tar.Header {
		return func(all []*tar.Header) []*tar.Header {
			return append(all[:at:at], append([]*tar.Header{&h}, all[at:]...)...)
		}
	}
	for name, c := range map[string]struct {
		change func([]*tar.Header) []*tar.Header
		want   string
	}{
		"device": {add(9, tar.Header{Name: "usr/Disk\x1b[31m", Typeflag: tar.TypeBlock}),
			"neither a file, a directory nor a link"},
		"link": {add(9, tar.Header{Name: "usr/L", Typeflag: tar.TypeLink, Linkname: "x"}),
			"no file before it"},
		"twice": {add(7, tar.Header{Name: "etc/motd"}),
			"sent etc/motd of the root file system after etc/motd"},
		"unsorted":  {add(9, tar.Header{Name: "etc/passwd"}), "only what is sorted"},
		"upwards":   {add(9, tar.Header{Name: "usr/../../etc/x"}), "only what is sorted"},
		"no files":  {func([]*tar.Header) []*tar.Header { return nil }, "without files"},
		"a pipe":    {add(9, tar.Header{Name: "usr/P", Typeflag: tar.TypeFifo}), "neither a file"},
		"only dev/": {func(all []*tar.Header) []*tar.Header { return all[:2] }, "without files"},
	} {
		err := Normalize(io.Discard, bytes.NewReader(sent(t, c.change)), 1735689600, ".sdk")
		if err == nil || !strings.Contains(err.Error(), c.want) ||
			strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%s: %v", name, err)
		}
	}
	whole := sent(t, nil)
	if err := Normalize(io.Discard, bytes.NewReader(whole[:len(whole)/2]), 0, ".sdk"); err == nil {
		t.Error("half of a tar is taken")
	}
}
