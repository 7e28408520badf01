package provenance

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"buildsys/internal/builddir"
	"buildsys/internal/buildtest/bound"
	"buildsys/internal/cache"
	"buildsys/internal/errkind"
)

// keys writes a new pair of keys and returns their files.
func keys(t *testing.T, private any) (secret, public string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := x509.MarshalPKIXPublicKey(private.(crypto.Signer).Public())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	secret, public = filepath.Join(dir, "key.pem"), filepath.Join(dir, "key.pub")
	write(t, secret, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	write(t, public, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pub}))
	return secret, public
}

func write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func newKeys(t *testing.T) (dsse.SignerVerifier, dsse.Verifier) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return readKeys(t, private)
}

func readKeys(t *testing.T, private any) (dsse.SignerVerifier, dsse.Verifier) {
	t.Helper()
	secret, public := keys(t, private)
	signer, err := ReadKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := ReadPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return signer, verifier
}

// image is a small image in a directory, and what is stated of it.
type image struct {
	dir string
	Image
}

func entry(step string, files map[string]string, lines ...string) cache.Entry {
	var tr cache.Transcript
	tr.Restart(step)
	for _, line := range lines {
		words := strings.Fields(line)
		tr.Add(words[0], words[1:]...)
	}
	e := cache.Entry{Action: tr.ID(), Step: step, Transcript: tr.String()}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		text := files[name]
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			e.Files = append(e.Files, cache.File{Name: name, Link: target})
			continue
		}
		e.Files = append(e.Files, cache.File{Name: name, Mode: 0o644, Size: int64(len(text)),
			SHA256: sha256.Sum256([]byte(text))})
	}
	e.Content = cache.ContentOf(e.Files)
	return e
}

const commit = "0123456789abcdef0123456789abcdef01234567"

// newImage writes the files of an image whose disk has the given text.
func newImage(t *testing.T, disk string) image {
	t.Helper()
	files := map[string]string{"os.img": disk, "os.tar": "kmod kit", "latest.img": "-> os.img",
		"os.spdx.json": "{}"}
	maker := cache.Maker{Program: "v0.2.0", Engine: "Docker engine 20.10.24"}
	i := image{t.TempDir(), Image{Variant: "os", Arch: "x86_64", Release: true, StepsSigned: true,
		Tree:       Tree{Commit: commit, Path: "."},
		SDK:        SDK{"buildsys.invalid/sdk:1", strings.Repeat("ab", 32)},
		Partitions: map[string]map[string]string{"os.img": {"ROOT-A": "aa"}}, Program: "v0.2.0",
	}}
	i.Step = Step{entry("variant/os x86_64", files, "sdk sha256:"+strings.Repeat("cd", 32),
		"arg BUILD_ID 01234567", "arg VERSION_ID "+disk), maker}
	i.Steps = []Step{
		{entry("package/a x86_64", map[string]string{"a-1-1.x86_64.rpm": "a"}, "arg NAME a"), maker},
		{entry("package/b x86_64", map[string]string{"b-1-1.x86_64.rpm": "b"}, "arg NAME b"),
			cache.Maker{}},
	}
	i.Steps[1].Entry.Origin = "oci://registry.example/cache"
	for name, text := range files {
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			if err := os.Symlink(target, filepath.Join(i.dir, name)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		write(t, filepath.Join(i.dir, name), []byte(text))
	}
	return i
}

// seal writes the paper of the image and returns it.
func (i image) seal(t *testing.T, signer dsse.SignerVerifier) []byte {
	t.Helper()
	statements, err := i.Statements()
	if err != nil {
		t.Fatal(err)
	}
	paper, err := Seal(t.Context(), statements, signer, i.StepsSigned)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(i.dir, "os"+builddir.SignedPaper), paper)
	return paper
}

// verify returns all faults of the image in a directory.
func verify(t *testing.T, dir string, by dsse.Verifier) Faults {
	t.Helper()
	name, err := Find(dir)
	if faults, ok := errors.AsType[Faults](err); ok {
		return faults
	}
	data, err := Open(dir, name)
	if err != nil {
		t.Fatal(err)
	}
	p, faults := Read(t.Context(), name, data, by)
	if len(faults) > 0 {
		return faults
	}
	faults, err = p.CheckFiles(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return faults
}

func TestPaper(t *testing.T) {
	signer, verifier := newKeys(t)
	i := newImage(t, "disk")
	paper := i.seal(t, signer)
	if again := i.seal(t, signer); !bytes.Equal(paper, again) {
		t.Error("the same facts make other bytes")
	}
	if faults := verify(t, i.dir, verifier); faults != nil {
		t.Fatal(faults)
	}
	if faults := verify(t, i.dir, nil); faults != nil {
		t.Fatal(faults)
	}
	p, _ := Read(t.Context(), "os"+builddir.SignedPaper, paper, verifier)
	id, _ := verifier.KeyID()
	c := p.Image
	if p.KeyID != id || p.Claimed != id || c.Variant != "os" || c.Arch != "x86_64" || !c.Release ||
		c.Tree != i.Tree || c.SDK != i.SDK.Name || c.Arg("BUILD_ID") != "01234567" ||
		c.Action != i.Entry.Action.String() || c.Transcript != i.Entry.Transcript ||
		c.Maker["engine"] != "Docker engine 20.10.24" || c.Partitions["os.img"]["ROOT-A"] != "aa" ||
		len(c.Subjects) != 3 || c.Links["latest.img"] != "os.img" {
		t.Errorf("the paper says %+v", p)
	}
	if len(p.Steps) != 2 || p.Steps[0].Origin != "this machine" ||
		p.Steps[1].Origin != "oci://registry.example/cache" || len(p.Steps[1].Maker) != 0 {
		t.Errorf("its steps: %+v", p.Steps)
	}
}

// TestUnsignedSteps: a program that holds a key signs once.
func TestUnsignedSteps(t *testing.T) {
	signer, verifier := newKeys(t)
	i := newImage(t, "disk")
	i.StepsSigned = false
	paper := string(i.seal(t, signer))
	if faults := verify(t, i.dir, verifier); faults != nil {
		t.Fatal(faults)
	}
	if n := strings.Count(paper, `"keyid"`); n != 1 {
		t.Errorf("%d signatures", n)
	}
}

// lines changes the lines of the paper in a directory.
func lines(t *testing.T, dir string, change func(lines []string) []string) {
	t.Helper()
	file := filepath.Join(dir, "os"+builddir.SignedPaper)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	all := strings.SplitAfter(strings.TrimSuffix(string(data), "\n"), "\n")
	all[len(all)-1] += "\n"
	write(t, file, []byte(strings.Join(change(all), "")))
}

// payload changes what is signed on a line.
func payload(line string, change func(string) string) string {
	const begin = `"payload":"`
	at := strings.Index(line, begin) + len(begin)
	end := at + strings.IndexByte(line[at:], '"')
	text, _ := base64.StdEncoding.DecodeString(line[at:end])
	return line[:at] + base64.StdEncoding.EncodeToString([]byte(change(string(text)))) + line[end:]
}

// TestTampering changes one thing after the other, and each is refused by its name.
func TestTampering(t *testing.T) {
	signer, verifier := newKeys(t)
	stranger, _ := newKeys(t)
	other := newImage(t, "another disk")
	otherPaper := other.seal(t, signer)
	swap := func(name, with string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { write(t, filepath.Join(dir, name), []byte(with)) }
	}
	change := func(n int, old, new string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			lines(t, dir, func(all []string) []string {
				all[n] = payload(all[n], func(s string) string { return strings.Replace(s, old, new, 1) })
				return all
			})
		}
	}
	line := func(edit func(all []string) []string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { lines(t, dir, edit) }
	}
	for _, tt := range []struct {
		name   string
		tamper func(t *testing.T, dir string)
		want   string // the beginning of the first fault
	}{
		{"byte of the disk", swap("os.img", "disK"), "files: os.img: its 4 bytes have the sha256"},
		{"truncated disk", swap("os.img", "dis"), "files: os.img: its 3 bytes"},
		{"disk of another image", swap("os.img", "another disk"), "files: os.img: "},
		{"byte of the kmod kit", swap("os.tar", "kmod kiT"), "files: os.tar: "},
		{"byte of the SBOM", swap("os.spdx.json", "[]"), "files: os.spdx.json: "},
		{"missing file", func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, "os.tar")) },
			"files: os.tar: it is missing"},
		{"missing link", func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, "latest.img")) },
			"files: latest.img: it is missing"},
		{"added file", swap("other.img", "x"), "files: other.img: it was added"},
		{"link elsewhere", func(t *testing.T, dir string) {
			os.Remove(filepath.Join(dir, "latest.img"))
			os.Symlink("os.tar", filepath.Join(dir, "latest.img"))
		}, `files: latest.img: it leads to "os.tar", and the statement says "os.img"`},
		{"file that is a link", func(t *testing.T, dir string) {
			os.Rename(filepath.Join(dir, "os.img"), filepath.Join(dir, "..", filepath.Base(dir)+".img"))
			os.Symlink("../"+filepath.Base(dir)+".img", filepath.Join(dir, "os.img"))
		}, "files: os.img: it is a link that the statement does not have"},
		{"directory", func(t *testing.T, dir string) { os.Mkdir(filepath.Join(dir, "x"), 0o755) },
			"files: x: it was added"},
		{"no paper", func(t *testing.T, dir string) {
			os.Remove(filepath.Join(dir, "os"+builddir.SignedPaper))
		},
			"statement: "},
		{"two papers", swap("os2"+builddir.SignedPaper, "{}"),
			"files: os2.intoto.jsonl: there are 2 statements"},
		{"byte of the payload", change(0, `"variant":"os"`, `"variant":"oz"`),
			"signature: os.intoto.jsonl, line 1: the signature or what it signs was changed"},
		{"byte of a step's payload", change(1, "this machine", "that machine"),
			"signature: os.intoto.jsonl, line 2: the signature or what it signs"},
		{"older commit", change(0, commit, strings.Replace(commit, "0123", "0000", 1)),
			"signature: os.intoto.jsonl, line 1: "},
		{"byte of the signature", line(func(all []string) []string {
			at := strings.Index(all[0], `"sig":"`) + 9
			flip := byte('A')
			if all[0][at] == 'A' {
				flip = 'B'
			}
			all[0] = all[0][:at] + string(flip) + all[0][at+1:]
			return all
		}), "signature: os.intoto.jsonl, line 1: the signature or what it signs"},
		{"no signature", line(func(all []string) []string {
			at := strings.Index(all[0], `"signatures":[`)
			all[0] = all[0][:at] + `"signatures":[]}` + "\n"
			return all
		}), "signature: os.intoto.jsonl, line 1: nobody has signed it"},
		{"no signature of a step", line(func(all []string) []string {
			at := strings.Index(all[2], `"signatures":[`)
			all[2] = all[2][:at] + `"signatures":[]}` + "\n"
			return all
		}), "signature: package/b x86_64: its statement (line 3) has signatures added or removed"},
		{"other key", func(t *testing.T, dir string) {
			i := newImage(t, "disk")
			write(t, filepath.Join(dir, "os"+builddir.SignedPaper), i.seal(t, stranger))
		}, "signature: os.intoto.jsonl, line 1: it is signed with the key "},
		{"provenance of another image", swap("os"+builddir.SignedPaper, string(otherPaper)),
			"files: os.img: "},
		{"swapped steps", line(func(all []string) []string { return []string{all[0], all[2], all[1]} }),
			"step: package/a x86_64: its statement was replaced by one of package/b x86_64"},
		{"step of another image", line(func(all []string) []string {
			i := newImage(t, "disk")
			i.Steps[0].Maker.Engine = "another"
			more := strings.SplitAfter(string(i.seal(t, signer)), "\n")
			return []string{all[0], more[1], all[2]}
		}), "step: package/a x86_64: its statement is not the one"},
		{"missing step", line(func(all []string) []string { return all[:2] }),
			"step: package/b x86_64: its statement is missing"},
		{"added step", line(func(all []string) []string { return append(all, all[1]) }),
			"step: package/a x86_64: the image was not made from it"},
		{"image for a step", line(func(all []string) []string {
			return []string{all[0], all[0], all[2]}
		}),
			`statement: os.intoto.jsonl, line 2: it is about "urn:buildsys:image:v1"`},
		{"cut off", line(func(all []string) []string {
			all[2] = strings.TrimSuffix(all[2], "\n")
			return all
		}), "statement: os.intoto.jsonl: it is empty or cut off"},
		{"space", line(func(all []string) []string {
			all[0] = strings.Replace(all[0], ":", ": ", 1)
			return all
		}), "statement: os.intoto.jsonl, line 1: it is not written as buildsys writes it"},
		{"empty", swap("os"+builddir.SignedPaper, ""), "statement: os.intoto.jsonl: it is empty"},
		{"no envelope", swap("os"+builddir.SignedPaper, "[]\n"),
			"statement: os.intoto.jsonl, line 1: it is no DSSE"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i := newImage(t, "disk")
			i.seal(t, signer)
			tt.tamper(t, i.dir)
			faults := verify(t, i.dir, verifier)
			if len(faults) == 0 {
				t.Fatal("it was not noticed")
			}
			if got := faults[0].String(); !strings.HasPrefix(got, tt.want) {
				t.Errorf("the fault is %q, want %q", got, tt.want)
			}
			if errkind.Of(faults) != errkind.Integrity || faults.Kind() == "" {
				t.Errorf("its kind is %d, %q", errkind.Of(faults), faults.Kind())
			}
		})
	}
}

// TestEveryByte: no byte of a paper can be changed unseen.
func TestEveryByte(t *testing.T) {
	signer, verifier := newKeys(t)
	i := newImage(t, "disk")
	i.Steps = i.Steps[:1]
	paper := i.seal(t, signer)
	for at := range paper {
		changed := bytes.Clone(paper)
		changed[at] ^= 1
		if _, faults := Read(t.Context(), "p", changed, verifier); len(faults) == 0 {
			t.Fatalf("byte %d (%q) can be changed", at, paper[at])
		}
	}
}

// TestNames: a statement names files beside the image, and of a step those that it made.
func TestNames(t *testing.T) {
	for _, name := range []string{"../os.img", "/etc/passwd", "a/b", "", ".", "..", "x\n"} {
		i := newImage(t, "disk")
		i.Steps = nil
		i.Entry.Files = append(i.Entry.Files, cache.File{Name: name})
		if _, err := i.Statements(); err == nil {
			t.Errorf("%q is stated", name)
		}
		i.Entry.Files[len(i.Entry.Files)-1].Name = "marker"
		statements, err := i.Statements()
		if err != nil {
			t.Fatal(err)
		}
		quoted, _ := json.Marshal(name)
		statements[0] = bytes.Replace(statements[0], []byte(`"marker"`), quoted, 1)
		paper, err := Seal(t.Context(), statements, nil, false)
		if err != nil {
			t.Fatal(err)
		}
		if _, faults := Read(t.Context(), "p", paper, nil); len(faults) == 0 ||
			faults[0].Kind != BadStatement {
			t.Errorf("%q: %v", name, faults)
		}
	}
}

func TestKeys(t *testing.T) {
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	signer, verifier := readKeys(t, p256)
	one, err := signer.Sign(t.Context(), []byte("text"))
	if err != nil || verifier.Verify(t.Context(), []byte("text"), one) != nil {
		t.Errorf("ECDSA: %v", err)
	}
	if two, _ := signer.Sign(t.Context(), []byte("text")); !bytes.Equal(one, two) {
		t.Error("two signatures of the same bytes differ")
	}
	if verifier.Verify(t.Context(), []byte("texT"), one) == nil {
		t.Error("a signature of other bytes is accepted")
	}
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	rsaKey, _ := rsa.GenerateKey(rand.Reader, 2048)
	for name, private := range map[string]any{"P-384": p384, "RSA": rsaKey} {
		secret, public := keys(t, private)
		if _, err := ReadKey(secret); err == nil || errkind.Of(err) != errkind.Usage {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := ReadPublicKey(public); err == nil {
			t.Errorf("%s: its public key is accepted", name)
		}
		if _, err := ReadPublicKey(secret); err == nil {
			t.Errorf("%s: a private key is accepted as a public one", name)
		}
	}
}

// TestProgram signs with a program that holds the key.
func TestProgram(t *testing.T) {
	_, private, _ := ed25519.GenerateKey(rand.Reader)
	signer, verifier := readKeys(t, private)
	_, public := keys(t, private)
	dir := t.TempDir()
	data := []byte("text")
	sig, _ := signer.Sign(t.Context(), data)
	program := func(name, sign string) string {
		file := filepath.Join(dir, name)
		text := "#!/bin/sh\ncase $1 in\npublic-key) cat " + public + ";;\nsign) " + sign + ";;\nesac\n"
		if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		return file
	}
	good := "cat >" + filepath.Join(dir, "in") + "; echo " + base64.StdEncoding.EncodeToString(sig)
	k, err := Program(t.Context(), program("good", good))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := k.Sign(t.Context(), data); err != nil || !bytes.Equal(got, sig) {
		t.Errorf("%x, %v", got, err)
	}
	if in, _ := os.ReadFile(filepath.Join(dir, "in")); !bytes.Equal(in, data) {
		t.Errorf("the program was given %q", in)
	}
	a, _ := k.KeyID()
	if b, _ := verifier.KeyID(); a != b {
		t.Errorf("key %s, want %s", a, b)
	}
	for name, sign := range map[string]string{"other": "echo AAAA",
		"fails":   "echo no token >&2; exit 1",
		"endless": "yes"} {
		k, err := Program(t.Context(), program(name, sign))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Sign(context.Background(), data); errkind.Of(err) != errkind.Environment {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Program(t.Context(), filepath.Join(dir, "none")); err == nil {
		t.Error("a program that is not there")
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[]}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, faults := Read(t.Context(), "p", data, nil)
		if len(faults) == 0 && len(p.Image.Subjects) == 0 {
			t.Error("a paper about nothing")
		}
	})
}

// TestBombs: a paper of anybody takes no more than it has bytes, before and after its signature was
// checked.
func TestBombs(t *testing.T) {
	_, by := newKeys(t)
	line := func(payload, signatures string) []byte {
		return []byte(`{"payloadType":"` + PayloadType + `","payload":"` +
			base64.StdEncoding.EncodeToString([]byte(payload)) + `","signatures":[` + signatures + "]}\n")
	}
	for name, tt := range map[string]struct {
		paper []byte
		by    dsse.Verifier
		want  string
	}{
		"signatures": {line("{}", strings.Repeat("{},", 5_000_000)+"{}"), by, "more than one signature"},
		"values": {line(`{"predicate":{"a":[`+strings.Repeat("1,", 5_000_000)+"1]}}", ""), nil,
			"more than 300000 values"},
		"depth": {line(strings.Repeat("[", 1_000_000), ""), nil, "more than 300000 values"},
	} {
		t.Run(name, func(t *testing.T) {
			bound.Work(t, 200<<20, func() {
				_, faults := Read(t.Context(), "x", tt.paper, tt.by)
				if !strings.Contains(faults.Error(), tt.want) {
					t.Errorf("got %.200q", faults.Error())
				}
			})
		})
	}
	many := make(Faults, 100_000)
	if text := many.Error(); strings.Count(text, "\n") > 1000 || !strings.Contains(text, "more") {
		t.Errorf("%d bytes of faults", len(text))
	}
}
