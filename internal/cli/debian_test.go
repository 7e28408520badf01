// debian_test: archives of Debian packages for stories, and an engine that makes root file systems.

package cli

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/ulikunitz/xz"

	"buildsys/internal/engine"
	"buildsys/internal/errkind"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
)

// archiveKey signs the archives of all stories.
var archiveKey = sync.OnceValues(func() (*openpgp.Entity, error) {
	return openpgp.NewEntity("Archive", "", "archive@example.com", nil)
})

// makeDebian DIR LIST makes a mirror of Debian with the packages in the file LIST, one a line:
// "NAME VERSION ARCHITECTURE; FIELD: VALUE; ...". It writes the key to DIR.asc.
func makeDebian(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: debian DIR LIST")
	}
	dir := ts.MkAbs(args[0])
	ts.Check(os.RemoveAll(dir))
	indexes := map[string]string{}
	for line := range strings.Lines(ts.ReadFile(args[1])) {
		fields := strings.Split(strings.TrimSpace(line), "; ")
		words := strings.Fields(fields[0])
		if len(words) != 3 {
			continue
		}
		file := "pool/" + strings.Join(words, "_") + ".deb"
		deb := makeDeb(ts, words[0])
		write(ts, filepath.Join(dir, "debian", file), deb)
		text := fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: %s\nFilename: %s\nSize: %d\n"+
			"SHA256: %x\n%s\n\n", words[0], words[1], words[2], file, len(deb), sha256.Sum256(deb),
			strings.Join(fields[1:], "\n"))
		for _, arch := range []string{"amd64", "arm64"} {
			if words[2] == arch || words[2] == "all" {
				indexes[arch] += text
			}
		}
	}
	for suite, archive := range map[string]string{"trixie": "debian", "trixie-updates": "debian",
		"trixie-security": "debian-security"} {
		at := filepath.Join(dir, archive, "dists", suite)
		sums := ""
		for _, arch := range []string{"amd64", "arm64"} {
			text := ""
			if suite == "trixie" {
				text = indexes[arch]
			}
			name := "main/binary-" + arch + "/Packages.xz"
			index := compressed(ts, text)
			write(ts, filepath.Join(at, name), index)
			sums += fmt.Sprintf(" %x %d %s\n", sha256.Sum256(index), len(index), name)
		}
		write(ts, filepath.Join(at, "InRelease"), clearSigned(ts, "Codename: "+suite+
			"\nDate: Mon, 30 Nov 2026 06:00:00 UTC\nSHA256:\n"+sums))
	}
	write(ts, dir+".asc", publicKey(ts))
}

func write(ts *testscript.TestScript, path string, data []byte) {
	ts.Check(os.MkdirAll(filepath.Dir(path), 0o755))
	ts.Check(os.WriteFile(path, data, 0o644))
}

// makeDeb returns a package with a file of its name, and with the directories of dpkg.
func makeDeb(ts *testscript.TestScript, name string) []byte {
	var files, deb bytes.Buffer
	w := tar.NewWriter(&files)
	for _, dir := range []string{"./var/", "./var/lib/", "./var/lib/dpkg/"} {
		ts.Check(w.WriteHeader(&tar.Header{Name: dir, Typeflag: tar.TypeDir, Mode: 0o755}))
	}
	ts.Check(w.WriteHeader(&tar.Header{Name: "./" + name, Mode: 0o644}))
	ts.Check(w.Close())
	deb.WriteString("!<arch>\n")
	for _, m := range []struct{ name, data string }{{"debian-binary", "2.0\n"},
		{"data.tar", files.String()}} {
		fmt.Fprintf(&deb, "%-16s%-12d%-6d%-6d%-8s%-10d`\n%s", m.name, 0, 0, 0, "100644", len(m.data),
			m.data)
	}
	return deb.Bytes()
}

func compressed(ts *testscript.TestScript, text string) []byte {
	var b bytes.Buffer
	w, err := xz.NewWriter(&b)
	ts.Check(err)
	_, err = io.WriteString(w, text)
	ts.Check(err)
	ts.Check(w.Close())
	return b.Bytes()
}

func clearSigned(ts *testscript.TestScript, text string) []byte {
	key, err := archiveKey()
	ts.Check(err)
	var b bytes.Buffer
	w, err := clearsign.Encode(&b, key.PrivateKey, nil)
	ts.Check(err)
	_, err = io.WriteString(w, text)
	ts.Check(err)
	ts.Check(w.Close())
	return b.Bytes()
}

func publicKey(ts *testscript.TestScript) []byte {
	key, err := archiveKey()
	ts.Check(err)
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.PublicKeyType, nil)
	ts.Check(err)
	ts.Check(key.Serialize(w))
	ts.Check(w.Close())
	return append(b.Bytes(), '\n')
}

// MakeRootfs makes a root file system with the order of the packages, newer than any image may be,
// and with what engines put into containers. $ROOTFS makes it fail, or be what no image is.
func (*fakeEngine) MakeRootfs(_ context.Context, r engine.Rootfs, to io.Writer,
	report func(progress.Event)) error {
	report(progress.Event{Kind: progress.StepLog, Text: "Setting up one\x1b[31m"})
	if info, err := os.Stat(r.Base); err != nil || info.Size() == 0 {
		return fmt.Errorf("no base: %v", err)
	}
	files := []plan.File{{Name: "etc/"}, {Name: "etc/hosts", Data: []byte("127.0.0.1")}}
	for _, f := range r.Mounts["/.sdk/order"].Files {
		files = append(files, plan.File{Name: "etc/" + f.Name, Data: f.Data})
	}
	slices.SortFunc(files, func(a, b plan.File) int { return strings.Compare(a.Name, b.Name) })
	switch os.Getenv("ROOTFS") {
	case "unsorted":
		slices.Reverse(files[1:])
	case "fails":
		return &failedStep{}
	}
	w := tar.NewWriter(to)
	for _, f := range files {
		h := &tar.Header{Name: f.Name, Mode: 0o644, Size: int64(len(f.Data)), ModTime: time.Now()}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		if _, err := w.Write(f.Data); err != nil {
			return err
		}
	}
	return w.Close()
}

type failedStep struct{}

func (*failedStep) Error() string           { return "the program failed" }
func (*failedStep) ErrorKind() errkind.Kind { return errkind.StepFailed }
