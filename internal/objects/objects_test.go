package objects

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"buildsys/internal/errkind"
)

// key1 and key2 have the form of keys.
var (
	key1 = ccachePrefix + "a2a6qbhorigjcfif442h05s52cepqiifa"
	key2 = goPrefix + strings.Repeat("2b", 32)
)

func newUse(t *testing.T) *Use {
	t.Helper()
	store, err := Open(filepath.Join(t.TempDir(), "objects"))
	if err != nil {
		t.Fatal(err)
	}
	return &Use{Store: store, SDK: "sha256:1", Arch: "x86_64", Domain: "trusted",
		Warn: func(text string) { t.Log(text) }}
}

// dial connects to a step as a program in it would.
func dial(t *testing.T, s *Step) net.Conn {
	t.Helper()
	ours, theirs := net.Pipe()
	go s.Serve(theirs)
	t.Cleanup(func() { _ = ours.Close() })
	return ours
}

// words is a command.
func words(w ...string) string {
	text := fmt.Sprintf("*%d\r\n", len(w))
	for _, one := range w {
		text += fmt.Sprintf("$%d\r\n%s\r\n", len(one), one)
	}
	return text
}

// say sends what it is given and returns the answer, of as many bytes as want has.
func say(t *testing.T, c net.Conn, what, want string) {
	t.Helper()
	go func() { _, _ = io.WriteString(c, what) }()
	got := make([]byte, len(want))
	n, err := io.ReadFull(c, got)
	if string(got[:n]) != want {
		t.Fatalf("%.60q is answered with %q (%v), want %q", what, got[:n], err, want)
	}
}

func bulk(value string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(value), value) }

// entryOf is an entry of ccache, made at a time.
func entryOf(object string, seconds byte) string {
	return "\xac\xcc\x01\x00\x01\x01\x00" + strings.Repeat("\x00", 7) + string([]byte{seconds}) +
		"\x064.11.2" + object + strings.Repeat(string([]byte{seconds}), 16)
}

func TestServe(t *testing.T) {
	use := newUse(t)
	first := use.Step("musl")
	c := dial(t, first)
	value := entryOf("object", 1)
	say(t, c, words("PING"), "+PONG\r\n")
	say(t, c, words("GET", key1), "$-1\r\n")
	say(t, c, words("EXISTS", key1), ":0\r\n")
	say(t, c, words("SET", key1, value), "+OK\r\n")
	say(t, c, words("GET", key1), bulk(value))
	say(t, c, words("exists", key1), ":1\r\n")
	say(t, c, words("SET", key1, "another"), "+OK\r\n") // whoever is second changes nothing
	say(t, c, words("GET", key1), bulk(value))
	say(t, c, words("SET", key2, ""), "+OK\r\n")
	say(t, c, words("GET", key2), bulk(""))
	say(t, c, words("DEL", key2), ":1\r\n")
	say(t, c, words("GET", key2), "$-1\r\n")
	got, err := first.Close(true)
	n := int64(len(value))
	if want := (Stats{Asked: 5, Known: 3, Kept: 2, Served: 2 * n, Stored: n}); got != want ||
		err != nil || use.Total() != want {
		t.Errorf("%+v, %v, in total %+v", got, err, use.Total())
	}
	if _, err := io.ReadAll(c); err != nil {
		t.Error(err)
	}
	say(t, dial(t, use.Step("musl")), words("GET", key1), bulk(value))
}

// TestSpaces: what one package, SDK image, architecture or trust has left, no other sees.
func TestSpaces(t *testing.T) {
	use := newUse(t)
	say(t, dial(t, use.Step("musl")), words("SET", key1, "x"), "+OK\r\n")
	for name, other := range map[string]*Use{
		"sdk":    {Store: use.Store, SDK: "sha256:2", Arch: "x86_64", Domain: "trusted"},
		"arch":   {Store: use.Store, SDK: "sha256:1", Arch: "aarch64", Domain: "trusted"},
		"domain": {Store: use.Store, SDK: "sha256:1", Arch: "x86_64", Domain: "tree /src"},
	} {
		t.Run(name, func(t *testing.T) {
			say(t, dial(t, other.Step("musl")), words("GET", key1), "$-1\r\n")
		})
	}
	say(t, dial(t, use.Step("bash")), words("GET", key1), "$-1\r\n")
	say(t, dial(t, use.Step("musl")), words("GET", key1), bulk("x"))
	use.ReadOnly = true
	c := dial(t, use.Step("musl"))
	say(t, c, words("GET", key1), bulk("x"))
	say(t, c, words("SET", key2, "y"), "+OK\r\n")
	say(t, c, words("GET", key2), "$-1\r\n")
	say(t, c, words("DEL", key1), ":0\r\n")
}

// TestRefused: what is not understood ends the connection, and harms no other.
func TestRefused(t *testing.T) {
	use := newUse(t)
	for _, bad := range []string{
		"GET x\r\n", "*0\r\n", "*9\r\n", "*-1\r\n", "*2\r\n$-1\r\n", "*2\n$3\nGET\n", "\x00\xff\xfe\r\n",
		words("GET"), words("FLUSHALL"), words("PING", key1), words("GET", key1, "x"),
		words("GET", "../../../etc/passwd"), words("GET", "ccache:"), words("GET", "ccache:XYZ"),
		words("GET", ccachePrefix+strings.Repeat("A", 40)),
		words("SET", "go:"+strings.Repeat("/", 40), ""),
		"*2\r\n$3\r\nGET\r\n$999\r\n", "*2\r\n$99999999999999999999\r\n", "*" + strings.Repeat("1", 90),
		fmt.Sprintf("*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n", len(key1), key1, MaxValue+1),
		"*3\r\n$3\r\nSET\r\n" + bulk(key1) + "$1\r\nxyz", "*1\r\n$4\r\nPINGxx",
	} {
		step := use.Step("musl")
		c := dial(t, step)
		say(t, c, bad, "-ERR not understood\r\n")
		if rest, err := io.ReadAll(c); len(rest) > 0 || err != nil {
			t.Errorf("%q: %q, %v", bad, rest, err)
		}
		say(t, dial(t, step), words("PING"), "+PONG\r\n")
		if s, err := step.Close(true); s.Refused != 1 || err != nil {
			t.Errorf("%q: %+v, %v", bad, s, err)
		}
	}
}

// TestCutOff: of a value that does not come whole nothing is kept.
func TestCutOff(t *testing.T) {
	use := newUse(t)
	step := use.Step("musl")
	whole := words("SET", key1, "a value")
	for n := range len(whole) - 2 {
		step.Serve(stream{io.MultiReader(strings.NewReader(whole[:n]), iotest.ErrReader(io.EOF))})
	}
	if size, err := use.Store.Stat(); size.Objects != 0 || err != nil {
		t.Errorf("%+v, %v", size, err)
	}
	if left, _ := filepath.Glob(filepath.Join(use.Store.Dir, "*", tmpDir, "*")); len(left) > 0 {
		t.Errorf("%q are left", left)
	}
}

// stream reads from a reader and writes to nowhere.
type stream struct{ io.Reader }

func (stream) Write(p []byte) (int, error) { return len(p), nil }
func (stream) Close() error                { return nil }

// TestBounds: a step gets no more than its share.
func TestBounds(t *testing.T) {
	set := func(t *testing.T, at *int, to int) {
		was := *at
		*at = to
		t.Cleanup(func() { *at = was })
	}
	t.Run("bytes", func(t *testing.T) {
		set(t, &maxStored, 10)
		use := newUse(t)
		c := dial(t, use.Step("musl"))
		say(t, c, words("SET", key1, "12345678"), "+OK\r\n")
		say(t, c, words("SET", key2, "12345678"), "+OK\r\n")
		say(t, c, words("GET", key2), "$-1\r\n")
		say(t, c, words("GET", key1), bulk("12345678"))
	})
	t.Run("bytes of a run", func(t *testing.T) {
		use := newUse(t)
		use.Room = 10
		say(t, dial(t, use.Step("musl")), words("SET", key1, "12345678"), "+OK\r\n")
		c := dial(t, use.Step("bash"))
		say(t, c, words("SET", key1, "12345678"), "+OK\r\n")
		say(t, c, words("GET", key1), "$-1\r\n")
	})
	t.Run("objects", func(t *testing.T) {
		set(t, &maxObjects, 1)
		c := dial(t, newUse(t).Step("musl"))
		say(t, c, words("SET", key1, "1"), "+OK\r\n")
		say(t, c, words("SET", key2, "1"), "+OK\r\n")
		say(t, c, words("GET", key2), "$-1\r\n")
	})
	t.Run("served", func(t *testing.T) {
		set(t, &maxServed, 3)
		c := dial(t, newUse(t).Step("musl"))
		say(t, c, words("SET", key1, "12"), "+OK\r\n")
		say(t, c, words("GET", key1), bulk("12"))
		say(t, c, words("GET", key1), "$-1\r\n")
	})
	t.Run("read", func(t *testing.T) {
		set(t, &maxServed, 3)
		step := newUse(t).Step("musl")
		c := dial(t, step)
		say(t, c, words("SET", key1, "12"), "+OK\r\n")
		for range 4 { // each reads what is kept
			say(t, c, words("SET", key1, "12"), "+OK\r\n")
		}
		if !step.slow.Load() || step.read.Load() > 8 {
			t.Errorf("%d bytes were read", step.read.Load())
		}
	})
	t.Run("connections", func(t *testing.T) {
		set(t, &maxConns, 1)
		step := newUse(t).Step("musl")
		first := dial(t, step)
		say(t, first, words("PING"), "+PONG\r\n")
		if rest, err := io.ReadAll(dial(t, step)); len(rest) > 0 || err != nil {
			t.Errorf("%q, %v", rest, err)
		}
		say(t, first, words("PING"), "+PONG\r\n")
	})
	t.Run("commands", func(t *testing.T) {
		was := maxAsked
		maxAsked = 1
		t.Cleanup(func() { maxAsked = was })
		c := dial(t, newUse(t).Step("musl"))
		say(t, c, words("PING"), "+PONG\r\n")
		say(t, c, words("PING"), "-ERR not understood\r\n")
	})
}

// long appends "a" until the text is so long.
func long(text string, n int) string { return text + strings.Repeat("a", n-len(text)) }

// TestAudit: an object that is known is compiled again, and another one takes the space out of use.
func TestAudit(t *testing.T) {
	for name, test := range map[string]struct {
		key, kept, made string
		same            bool
	}{
		"made at another time": {key1, entryOf("object", 1), entryOf("object", 2), true},
		"another object":       {key1, entryOf("object", 1), entryOf("poison", 1), false},
		"shorter":              {key1, entryOf("object", 1), entryOf("objec", 1), false},
		"longer":               {key1, entryOf("object", 1), entryOf("object!", 1), false},
		"short":                {key1, "x", "y", false},
		"of Go, the same":      {key2, entryOf("object", 1), entryOf("object", 1), true},
		"of Go, another time":  {key2, entryOf("object", 1), entryOf("object", 2), false},
		"large":                {key1, entryOf(long("", 1<<20), 1), entryOf(long("", 1<<20), 9), true},
		"large, in the middle": {key1, entryOf(long("", 1<<20), 1),
			entryOf(long(long("", 1<<19)+"b", 1<<20), 1), false},
	} {
		t.Run(name, func(t *testing.T) {
			use := newUse(t)
			say(t, dial(t, use.Step("musl")), words("SET", test.key, test.kept), "+OK\r\n")
			use.Audit = 100
			step := use.Step("musl")
			c := dial(t, step)
			say(t, c, words("GET", test.key), "$-1\r\n")
			say(t, c, words("EXISTS", test.key), ":0\r\n")
			say(t, c, words("SET", test.key, test.made), "+OK\r\n")
			stats, err := step.Close(true)
			if test.same {
				if err != nil || stats.Compared != 1 || stats.Kept != 0 {
					t.Fatalf("%+v, %v", stats, err)
				}
				use.Audit = 0
				say(t, dial(t, use.Step("musl")), words("GET", test.key), bulk(test.kept))
				return
			}
			if !errkind.Is[*DifferenceError](err) || errkind.Of(err) != errkind.Integrity {
				t.Fatalf("%+v, %v", stats, err)
			}
			if use.Step("musl") != nil {
				t.Error("the space is still in use")
			}
			size, err := use.Store.Stat()
			if err != nil || len(size.Spoiled) != 1 || size.Spoiled[0] != "musl" {
				t.Errorf("%+v, %v", size, err)
			}
			if use.Step("bash") == nil {
				t.Error("another package has lost its objects")
			}
		})
	}
}

// TestSpoiledMeanwhile: other runs stop using a space at once.
func TestSpoiledMeanwhile(t *testing.T) {
	use := newUse(t)
	other := dial(t, use.Step("musl"))
	say(t, other, words("SET", key1, "x"), "+OK\r\n")
	say(t, other, words("GET", key1), bulk("x"))
	audited := *use.Store
	step := (&Use{Store: &audited, SDK: use.SDK, Arch: use.Arch, Domain: use.Domain,
		Audit: 100}).Step("musl")
	c := dial(t, step)
	say(t, c, words("GET", key1), "$-1\r\n")
	say(t, c, words("SET", key1, "y"), "+OK\r\n")
	say(t, other, words("GET", key1), "$-1\r\n")
	say(t, other, words("SET", key2, "x"), "+OK\r\n")
	say(t, other, words("GET", key2), "$-1\r\n")
}

// TestDamage: what is damaged is not known, and is removed.
func TestDamage(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"a bit": func(path string) error {
			data, err := os.ReadFile(path)
			data[len(magic)] ^= 1
			return errors.Join(err, os.WriteFile(path, data, 0o644))
		},
		"cut off": func(path string) error { return os.Truncate(path, int64(around)) },
		"empty":   func(path string) error { return os.Truncate(path, 0) },
		"huge":    func(path string) error { return os.Truncate(path, 1<<40) },
		"of others": func(path string) error {
			return os.WriteFile(path, bytes.Repeat([]byte("x"), 100), 0o644)
		},
	} {
		t.Run(name, func(t *testing.T) {
			use := newUse(t)
			step := use.Step("musl")
			c := dial(t, step)
			say(t, c, words("SET", key1, "value"), "+OK\r\n")
			if err := spoil(step.space.object(key1)); err != nil {
				t.Fatal(err)
			}
			say(t, c, words("GET", key1), "$-1\r\n")
			say(t, c, words("SET", key1, "value"), "+OK\r\n")
			say(t, c, words("GET", key1), bulk("value"))
		})
	}
	t.Run("a link", func(t *testing.T) {
		step := newUse(t).Step("musl")
		c := dial(t, step)
		say(t, c, words("SET", key1, "value"), "+OK\r\n")
		say(t, c, words("SET", key2, "value"), "+OK\r\n")
		path := step.space.object(key1)
		if err := errors.Join(os.Rename(path, path+".real"), os.Symlink(path+".real", path)); err != nil {
			t.Fatal(err)
		}
		say(t, c, words("GET", key1), "$-1\r\n")
		// The bytes of another object are not this one.
		if err := errors.Join(os.Remove(path), os.Link(step.space.object(key2), path)); err != nil {
			t.Fatal(err)
		}
		say(t, c, words("GET", key1), "$-1\r\n")
	})
}

// TestFullDisk: the step goes on without.
func TestFullDisk(t *testing.T) {
	step := newUse(t).Step("musl")
	if err := os.RemoveAll(step.space.path(tmpDir)); err != nil {
		t.Fatal(err)
	}
	c := dial(t, step)
	say(t, c, words("SET", key1, "value"), "+OK\r\n")
	say(t, c, words("GET", key1), "$-1\r\n")
	if !step.slow.Load() {
		t.Error("the step still tries to keep objects")
	}
}

// TestSlowDisk: once the disk was too slow, nobody waits for it any more.
func TestSlowDisk(t *testing.T) {
	was := slowDisk
	slowDisk = time.Nanosecond
	t.Cleanup(func() { slowDisk = was })
	step := newUse(t).Step("musl")
	done := step.hurry()
	for !step.slow.Load() {
		<-time.After(time.Millisecond)
	}
	done()
	c := dial(t, step)
	say(t, c, words("SET", key1, "value"), "+OK\r\n")
	say(t, c, words("GET", key1), "$-1\r\n")
	say(t, c, words("EXISTS", key1), ":0\r\n")
}

func TestTrim(t *testing.T) {
	use := newUse(t)
	step := use.Step("musl")
	c := dial(t, step)
	say(t, c, words("SET", key1, strings.Repeat("1", 1000)), "+OK\r\n")
	say(t, c, words("SET", key2, strings.Repeat("2", 1000)), "+OK\r\n")
	now := time.Now()
	old := now.Add(-48 * time.Hour)
	if err := os.Chtimes(step.space.object(key1), old, old); err != nil {
		t.Fatal(err)
	}
	if got, err := use.Store.Trim(Limits{Age: 72 * time.Hour}, now); got.Objects != 0 || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := use.Store.Trim(Limits{Bytes: 1500}, now); got.Objects != 1 || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
	say(t, c, words("GET", key1), "$-1\r\n")
	say(t, c, words("GET", key2), bulk(strings.Repeat("2", 1000)))
	got, err := use.Store.Trim(Limits{Age: time.Hour}, now.Add(100*time.Hour))
	if got.Objects != 1 || got.Spaces != 1 || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
	if size, err := use.Store.Stat(); size.Objects+size.Spaces != 0 || err != nil {
		t.Errorf("%+v, %v", size, err)
	}
}

// TestTrimSpoiled: a space that was out of use for long begins empty.
func TestTrimSpoiled(t *testing.T) {
	use := newUse(t)
	say(t, dial(t, use.Step("musl")), words("SET", key1, "x"), "+OK\r\n")
	use.Audit = 100
	step := use.Step("musl")
	c := dial(t, step)
	say(t, c, words("GET", key1), "$-1\r\n")
	say(t, c, words("SET", key1, "y"), "+OK\r\n")
	use.Audit = 0
	now := time.Now()
	for _, age := range []time.Duration{time.Hour, 49 * time.Hour} {
		if _, err := use.Store.Trim(Limits{Age: 72 * time.Hour}, now.Add(age)); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(step.space.path(otherFile)); err != nil || use.Step("musl") != nil {
			t.Error("after", age, err)
		}
	}
	// Whatever was done meanwhile to the object in the space, it does not outlive the mark.
	later := now.Add(73 * time.Hour)
	if err := os.Chtimes(step.space.object(key1), later, later); err != nil {
		t.Fatal(err)
	}
	if _, err := use.Store.Trim(Limits{Age: 72 * time.Hour}, later); err != nil {
		t.Fatal(err)
	}
	say(t, dial(t, use.Step("musl")), words("GET", key1), "$-1\r\n")
}

// TestNone: without a store, steps are not served.
func TestNone(t *testing.T) {
	var use *Use
	if s, err := use.Step("musl").Close(true); s != (Stats{}) || err != nil ||
		use.Total() != (Stats{}) {
		t.Error(s, err)
	}
}

// FuzzServe: whatever a step sends, nothing outside of its space changes, and what is kept can be
// read again.
func FuzzServe(f *testing.F) {
	f.Add([]byte(words("SET", key1, "value") + words("GET", key1)))
	f.Add([]byte(words("EXISTS", key2) + words("DEL", key2) + words("PING")))
	f.Add([]byte("*3\r\n$3\r\nSET\r\n$5\r\nx"))
	f.Add([]byte("*3\r\n$3\r\nSET\r\n" + bulk(key1) + "$999999\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		use := &Use{Store: &Store{filepath.Join(dir, "objects")}, Audit: 50}
		step := use.Step("musl")
		step.Serve(stream{bytes.NewReader(data)})
		stats, _ := step.Close(true)
		if stats.Stored > int64(len(data)) {
			t.Errorf("%+v of %d bytes", stats, len(data))
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 1 {
			t.Error(entries, err)
		}
	})
}
