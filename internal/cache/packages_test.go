// packages_test: digests of packages are explained, as far as their nodes exist.

package cache

import (
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// seen stores the nodes of packages "name=version", and returns the transcript of a step that sees
// them.
func seen(t *testing.T, nodes Nodes, packages ...string) string {
	t.Helper()
	var all [PackageBuckets]PackagesDigest
	buckets := map[int][]Package{}
	for _, one := range packages {
		name, version, _ := strings.Cut(one, "=")
		files := []File{{Name: name + ".rpm", SHA256: sha256.Sum256([]byte(version))}}
		b := PackageBucket(name)
		buckets[b] = append(buckets[b], NewPackage(name, ContentOf(files), files))
	}
	put := func(d PackagesDigest, text []byte) {
		if err := nodes.Put(d, text); err != nil {
			t.Fatal(err)
		}
	}
	for b, list := range buckets {
		all[b], _ = DigestBucket(nil, slices.Values(list))
		put(all[b], BucketNode(slices.Values(list)))
	}
	tr := new(Transcript)
	tr.Restart("package/a x86_64")
	tr.Add("arg", packagesLabel, PackagesDigest{1}.String()) // not a line of packages
	if len(packages) > 0 {
		node := PackagesNode(&all)
		put(sha256.Sum256(node), node)
		tr.AddPackages(node)
	}
	tr.Add("file", "sources", "x", "644", "ff")
	return tr.String()
}

func explained(old, new string, node NodeSource) string {
	var words []string
	for _, c := range Explain(old, new, node) {
		words = append(words, c.String())
	}
	return strings.Join(words, "; ")
}

func TestExplainPackages(t *testing.T) {
	nodes := Nodes{Dir: t.TempDir()}
	old := seen(t, nodes, "a b=1", "bash=1", "musl=1", "zlib=1")
	for _, tt := range []struct {
		packages []string
		want     string
	}{
		{[]string{"a b=1", "bash=1", "musl=1", "zlib=1"}, ""},
		{[]string{"a b=1", "bash=1", "musl=2", "zlib=1"}, "dependency musl changed: musl.rpm"},
		{[]string{"a b=2", "bash=1", "zlib=2"}, "dependency a b changed: a b.rpm; " +
			"dependency musl removed; dependency zlib changed: zlib.rpm"},
		{[]string{"a b=1", "attr=1", "bash=1", "musl=1", "zlib=1"}, "dependency attr added"},
		{nil, "dependency a b removed; dependency bash removed; dependency musl removed; " +
			"dependency zlib removed"},
	} {
		if got := explained(old, seen(t, nodes, tt.packages...), nodes.Get); got != tt.want {
			t.Errorf("%q: %s\nwant %s", tt.packages, got, tt.want)
		}
	}
	both := strings.Replace(seen(t, nodes, "bash=1", "musl=2"), " ff\n", " fe\n", 1)
	const want = "dependency musl changed: musl.rpm; file sources: x changed"
	if got := explained(seen(t, nodes, "bash=1", "musl=1"), both, nodes.Get); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A record of an earlier program has a line for each package.
func TestExplainLines(t *testing.T) {
	nodes := Nodes{Dir: t.TempDir()}
	old := seen(t, nodes)
	lines := strings.Join([]string{"rpms bash 01", "rpms musl 01", ""}, "\n")
	old = strings.Replace(old, "file ", lines+"file ", 1)
	const want = "dependency bash changed: bash.rpm; dependency musl removed"
	if got := explained(old, seen(t, nodes, "bash=1"), nodes.Get); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// If a node is missing or damaged, changes are still reported, and there is no error.
func TestExplainWithoutNodes(t *testing.T) {
	const nobody = "its dependencies changed"
	for _, damage := range []func(path string) error{
		os.Remove,
		func(path string) error { return os.Truncate(path, 40) },
		func(path string) error { return os.WriteFile(path, []byte(bucketHeader+"musl 00\n"), 0o644) },
		func(path string) error { return os.WriteFile(path, []byte(packagesHeader), 0o644) },
	} {
		nodes := Nodes{Dir: t.TempDir()}
		old := seen(t, nodes, "bash=1", "musl=1")
		paths, _ := filepath.Glob(filepath.Join(nodes.Dir, "*", "*"))
		new := seen(t, nodes, "bash=2", "musl=2")
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := damage(path); err != nil {
				t.Fatal(err)
			}
			got := explained(old, new, nodes.Get)
			alone := strings.Contains(got, "added") || strings.Contains(got, "removed")
			if !strings.Contains(got, nobody) || alone {
				t.Errorf("without %q: %s", data, got)
			}
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := explained(old, new, nodes.Get); strings.Contains(got, nobody) {
			t.Errorf("with all nodes: %s", got)
		}
	}
}

// Nodes that no record names are removed once a day, if they are old enough.
func TestSweep(t *testing.T) {
	nodes := Nodes{Dir: filepath.Join(t.TempDir(), "packages")}
	now := time.Now()
	sweep := func(transcripts ...string) (looked bool) {
		t.Helper()
		if err := nodes.Sweep(now, func() []string { looked = true; return transcripts }); err != nil {
			t.Fatal(err)
		}
		return looked
	}
	if sweep() {
		t.Error("it looked though nothing was kept")
	}
	first := seen(t, nodes, "bash=1", "musl=1")
	second := seen(t, nodes, "bash=1", "musl=2")
	count := func() int {
		paths, _ := filepath.Glob(filepath.Join(nodes.Dir, "??", "*"))
		return len(paths)
	}
	if !sweep() || count() != 5 {
		t.Errorf("%d nodes, want the 5 that are younger than a day", count())
	}
	now = now.Add(25 * time.Hour)
	if !sweep(first, second, "no transcript") || count() != 5 {
		t.Errorf("%d nodes, want all 5, which are named", count())
	}
	if sweep() {
		t.Error("it looked twice in a day")
	}
	now = now.Add(25 * time.Hour)
	if !sweep(second) || count() != 3 {
		t.Errorf("%d nodes, want the 3 of the record that is left", count())
	}
	if got := explained("", second, nodes.Get); strings.Contains(got, "its dependencies") {
		t.Errorf("a node too many is gone: %s", got)
	}
}

// TestSweepStaysInItsDirectory has links of a checkout where nodes and the time of sweeping are.
func TestSweepStaysInItsDirectory(t *testing.T) {
	victim, old := t.TempDir(), time.Now().Add(-3*nodesDaily)
	key, profile := filepath.Join(victim, "key"), filepath.Join(victim, "profile")
	for _, link := range []func(old, new string) error{os.Symlink, os.Link} {
		nodes := Nodes{Dir: t.TempDir()}
		marker := filepath.Join(nodes.Dir, sweptFile)
		err := errors.Join(os.WriteFile(key, []byte("key"), 0o600), os.Chtimes(key, old, old),
			os.WriteFile(profile, []byte("profile"), 0o600), os.Chtimes(profile, old, old),
			os.Symlink(victim, filepath.Join(nodes.Dir, "ab")), link(profile, marker))
		if err != nil {
			t.Fatal(err)
		}
		_ = nodes.Sweep(time.Now(), func() []string { return nil })
		for _, file := range []string{key, profile} {
			if data, err := os.ReadFile(file); string(data) != filepath.Base(file) {
				t.Errorf("%s is %q, %v", file, data, err)
			}
		}
	}
}

// TestSweepKeepsWhatIsPut: an old node that is put again may be that of a record that will be
// written. A clock that was put back does not end sweeping.
func TestSweepKeepsWhatIsPut(t *testing.T) {
	nodes, d, now := Nodes{Dir: t.TempDir()}, PackagesDigest{1}, time.Now()
	old := now.Add(-2 * nodesDaily)
	marker := filepath.Join(nodes.Dir, sweptFile)
	for _, again := range []bool{true, false} {
		err := errors.Join(nodes.Put(d, []byte("text")), os.Chtimes(nodes.path(d), old, old),
			os.WriteFile(marker, nil, 0o644), os.Chtimes(marker, now, now.Add(2*nodesDaily)))
		if again {
			err = errors.Join(err, nodes.Put(d, []byte("text")))
		}
		if err = errors.Join(err, nodes.Sweep(now, func() []string { return nil })); err != nil {
			t.Fatal(err)
		}
		if kept := nodes.Get(d) != nil; kept != again {
			t.Errorf("put again: %v, kept: %v", again, kept)
		}
	}
}

// Provenance names every package if they are known, else their digest.
func TestProvenanceOfPackages(t *testing.T) {
	transcript := seen(t, Nodes{Dir: t.TempDir()}, "bash=1", "musl=1")
	e := Entry{Step: "package/a x86_64", Transcript: transcript}
	digest := packagesOf(e.Transcript).digest.String()
	for _, tt := range []struct {
		packages func() []Package
		want     []string
	}{
		{nil, []string{`"name": "packages"`, `"buildsysPackages": "` + digest + `"`}},
		{func() []Package {
			return []Package{NewPackage("bash", ContentID{1}, nil), NewPackage("musl", ContentID{2}, nil)}
		}, []string{`"rpms/bash"`, `"rpms/musl"`, `"buildsysContent": "` + ContentID{2}.String() + `"`}},
	} {
		e.Packages = tt.packages
		text, err := e.Provenance()
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range tt.want {
			if !strings.Contains(string(text), want) {
				t.Errorf("there is no %s in %s", want, text)
			}
		}
	}
}

// TestNodeIsRepaired: a node that was damaged is written again, or nobody could ever read it.
func TestNodeIsRepaired(t *testing.T) {
	nodes, d, text := Nodes{Dir: t.TempDir()}, PackagesDigest{1}, []byte("text")
	put := func() {
		t.Helper()
		if err := nodes.Put(d, text); err != nil {
			t.Fatal(err)
		}
	}
	put()
	if err := os.WriteFile(nodes.path(d), []byte("junk"), 0o644); err != nil {
		t.Fatal(err)
	}
	put()
	if got := string(nodes.Get(d)); got != "text" {
		t.Errorf("the node is %q", got)
	}
}
