// gitrepo_test: repositories of strangers, object by object.

package crates

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"buildsys/internal/buildtest/bound"
)

// objects makes the file with the objects of a commit.
type objects struct {
	t    testing.TB
	file bytes.Buffer
	seen map[string]bool
}

func newObjects(t testing.TB) *objects { return &objects{t: t, seen: map[string]bool{}} }

// add adds an object and returns its ID.
func (o *objects) add(kind, data string) string {
	sum := sha1.Sum(fmt.Appendf(nil, "%s %d\x00%s", kind, len(data), data))
	id := hex.EncodeToString(sum[:])
	if !o.seen[id] {
		fmt.Fprintf(&o.file, "%s %s %d\n%s\n", id, kind, len(data), data)
	}
	o.seen[id] = true
	return id
}

// tree adds a tree of entries, sorted as git wants them: mode, name and ID.
func (o *objects) tree(entries ...[3]string) string {
	slices.SortFunc(entries, func(a, b [3]string) int {
		key := func(e [3]string) string { return treeEntry{name: e[1], kind: entryKind(e[0])}.key() }
		return strings.Compare(key(a), key(b))
	})
	var data strings.Builder
	for _, e := range entries {
		id, err := hex.DecodeString(e[2])
		if err != nil {
			o.t.Fatal(err)
		}
		data.WriteString(e[0] + " " + e[1] + "\x00" + string(id))
	}
	return o.add("tree", data.String())
}

// files adds a tree of files, given by their paths. A text that begins with -> is a link, one
// with ! a program, and @ a submodule.
func (o *objects) files(files map[string]string) string {
	dirs := map[string]map[string]string{}
	var entries [][3]string
	for name, text := range files {
		if dir, rest, ok := strings.Cut(name, "/"); ok {
			if dirs[dir] == nil {
				dirs[dir] = map[string]string{}
			}
			dirs[dir][rest] = text
			continue
		}
		switch {
		case strings.HasPrefix(text, "->"):
			entries = append(entries, [3]string{"120000", name, o.add("blob", text[2:])})
		case text == "@":
			entries = append(entries, [3]string{"160000", name, commit})
		case strings.HasPrefix(text, "!"):
			entries = append(entries, [3]string{"100755", name, o.add("blob", text)})
		default:
			entries = append(entries, [3]string{"100644", name, o.add("blob", text)})
		}
	}
	for name, below := range dirs {
		entries = append(entries, [3]string{"40000", name, o.files(below)})
	}
	return o.tree(entries...)
}

// commit adds the commit with a tree, and opens the repository.
func (o *objects) commit(tree string) (*Repo, error) {
	id := o.add("commit", "tree "+tree+"\nauthor a <a> 0 +0000\n\nm\n")
	return OpenRepo(o.t.Context(), bytes.NewReader(o.file.Bytes()), int64(o.file.Len()), id)
}

// repoOf returns the repository of some files.
func repoOf(t testing.TB, files map[string]string) *Repo {
	t.Helper()
	o := newObjects(t)
	r, err := o.commit(o.files(files))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const (
	manifestA = "[package]\nname = \"a\"\nversion = \"1.0.0\"\n"
	gitURL    = "https://example.com/r"
)

var crateA = GitCrate{"a", "1.0.0", Git{URL: gitURL, Kind: "tag", Ref: "v1", Commit: commit}}

// unpackGit unpacks a, and returns its files with their beginnings.
func unpackGit(t testing.TB, r *Repo) (files, left string, root *os.Root, err error) {
	t.Helper()
	root, err = os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	names, err := crateA.Unpack(t.Context(), r, root)
	var list []string
	_ = filepath.WalkDir(root.Name(), func(at string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			name, _ := filepath.Rel(root.Name(), at)
			text, _ := root.ReadFile(name)
			if info, _ := e.Info(); info.Mode().IsRegular() && name != checksumFile {
				list = append(list, fmt.Sprintf("%s=%.20s", name, text))
			}
		}
		return nil
	})
	return strings.Join(list, " "), strings.Join(names, " "), root, err
}

func TestGitUnpack(t *testing.T) {
	r := repoOf(t, map[string]string{
		"LICENSE": "l", "shared/x.rs": "x", "shared/deep/y.rs": "y", "out": "->../../etc/passwd",
		"a/Cargo.toml": manifestA, "a/src/lib.rs": "$Format:%H$", "a/run": "!r",
		"a/LICENSE": "->../LICENSE",
		"a/more":    "->../shared", "a/up": "->..", "a/abs": "->/run", "a/out": "->../out",
		"a/round": "->round", "a/none": "->gone", "a/self": "->.", "a/two": "->more/deep/../x.rs",
		"a/.gitattributes": "* export-subst filter=x", "a/.gitignore": "x",
		"a/.cargo-checksum.json": "{}",
		"a/file":                 "->LICENSE/x", "other/sub": "@",
	})
	files, left, root, err := unpackGit(t, r)
	if err != nil {
		t.Fatal(err)
	}
	const want = "Cargo.toml=[package]\nname = \"a\" LICENSE=l more/deep/y.rs=y more/x.rs=x run=!r " +
		"src/lib.rs=$Format:%H$ two=x"
	if files != want || left != "abs file none out round self up" {
		t.Errorf("files %q\nwant  %q\nleft out %q", files, want, left)
	}
	if info, err := root.Stat("run"); err != nil || info.Mode() != 0o755 {
		t.Errorf("run: %v, %v", info, err)
	}
	list, err := root.ReadFile(checksumFile)
	if err != nil || !strings.HasSuffix(string(list), `,"package":null}`) ||
		!strings.HasPrefix(string(list), `{"files":{"Cargo.toml":"`) {
		t.Errorf("checksums %s, %v", list, err)
	}
	if err := crateA.Check(t.Context(), r, root); err != nil {
		t.Errorf("what was unpacked is refused: %v", err)
	}
	if err := root.WriteFile("src/more.rs", nil, 0o644); err != nil ||
		crateA.Check(t.Context(), r, root) == nil {
		t.Errorf("a file more is not noticed; %v", err)
	}
}

// TestGitUnpackRefuses: nothing is written outside, and what cannot be right has a name.
func TestGitUnpackRefuses(t *testing.T) {
	for want, files := range map[string]map[string]string{
		`"sub/c" is a submodule, which buildsys`: {"Cargo.toml": manifestA, "sub/c": "@"},
		"no such package outside of submodules":  {"Cargo.toml": "[workspace]\n", "a": "@"},
		"the repository has it in version 2.0.0": {"Cargo.toml": strings.Replace(manifestA, "1", "2", 1)},
		"both x/Cargo.toml and y/Cargo.toml are it": {"x/Cargo.toml": manifestA,
			"y/Cargo.toml": manifestA},
		`"x\ny" is not a plain name`: {"Cargo.toml": manifestA, "x\ny": ""},
		`"x\\y" is not a plain name`: {"Cargo.toml": manifestA, "x\\y": ""},
		`".." is not a plain name`:   {"Cargo.toml": manifestA, "..": "->x"},
		"\"..\" is not a plain":      {"Cargo.toml": manifestA, "d/..": "x"},
		"a/Cargo.toml: it inherits from a workspace": {"a/Cargo.toml": manifestA +
			"[lints]\nworkspace = true\n"},
		"is too long a name": {"Cargo.toml": manifestA,
			strings.Repeat("n", maxName+1): ""},
	} {
		files, _, _, err := unpackGit(t, repoOf(t, files))
		if err == nil || !strings.Contains(err.Error(), want) ||
			!strings.HasPrefix(err.Error(), "a-1.0.0 of "+gitURL+" (tag v1) at 0123456789ab: ") {
			t.Errorf("%v, want %s (%s)", err, want, files)
		}
	}
}

// TestGitFinds: where cargo looks for packages.
func TestGitFinds(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  string // the directory
	}{
		"at the top": {map[string]string{"Cargo.toml": manifestA}, ""},
		"below":      {map[string]string{"x/y/Cargo.toml": manifestA}, "x/y"},
		"a link":     {map[string]string{"x/Cargo.toml": "->../y", "y": manifestA}, "x"},
		"hidden": {map[string]string{".x/Cargo.toml": manifestA,
			"y/Cargo.toml": manifestA}, "y"},
		"of a build": {map[string]string{"Cargo.toml": "",
			"target/Cargo.toml": manifestA, "y/Cargo.toml": manifestA}, "y"},
		"beside a broken": {map[string]string{"x/Cargo.toml": "[", "y/Cargo.toml": manifestA}, "y"},
		"not published": {map[string]string{"x/Cargo.toml": manifestA + "publish = false\n",
			"y/Cargo.toml": manifestA}, "y"},
		"a version of the workspace": {map[string]string{
			"Cargo.toml":   "[workspace.package]\nversion = \"1.0.0\"\n",
			"x/Cargo.toml": "[package]\nname = \"a\"\nversion.workspace = true\n"}, "x"},
	} {
		f, err := repoOf(t, c.files).find("a", "1.0.0")
		if err != nil || f.dir != c.want {
			t.Errorf("%s: %q, %v", name, f.dir, err)
		}
	}
}

// TestGitBounds: a few objects can be a tree without end.
func TestGitBounds(t *testing.T) {
	o := newObjects(t)
	tree := o.tree([3]string{"100644", "f", o.add("blob", "x")})
	for range 30 {
		var entries [][3]string
		for i := range 10 {
			entries = append(entries, [3]string{"40000", fmt.Sprint(i), tree})
		}
		tree = o.tree(entries...)
	}
	everywhere, err := o.commit(tree)
	if err != nil {
		t.Fatal(err)
	}
	bound.Work(t, 1<<30, func() {
		if _, err := everywhere.find("a", "1.0.0"); err == nil ||
			!strings.Contains(err.Error(), "too many") {
			t.Errorf("a search without end: %v", err)
		}
	})
	r, err := o.commit(o.tree([3]string{"100644", manifestFile, o.add("blob", manifestA)},
		[3]string{"40000", ".x", tree}))
	if err != nil {
		t.Fatal(err)
	}
	bound.Work(t, 1<<30, func() {
		w := packageWalk{ctx: t.Context(), repo: r, take: nothing}
		if err := w.dir(r.top(), "", ""); err == nil || !strings.Contains(err.Error(), "too many files") {
			t.Errorf("files without end: %v", err)
		}
	})
	long := newObjects(t)
	tree = long.tree([3]string{"100644", manifestFile, long.add("blob", manifestA)})
	for range 30 {
		tree = long.tree([3]string{"40000", strings.Repeat("n", 1<<19), tree})
	}
	deep, err := long.commit(tree)
	if err != nil {
		t.Fatal(err)
	}
	bound.Work(t, 1<<24, func() {
		if _, err := deep.find("a", "1.0.0"); err == nil {
			t.Error("a package below names of megabytes is found")
		}
	})
	links := map[string]string{manifestFile: manifestA, "l/x": "->../m"}
	for i := range maxLinks + 2 {
		links[fmt.Sprint("l", i)] = fmt.Sprint("->l", i+1)
	}
	if _, left, _, err := unpackGit(t, repoOf(t, links)); err != nil || !strings.Contains(left, "l0") {
		t.Errorf("links without end: %q, %v", left, err)
	}
	big := newObjects(t)
	blob := big.add("blob", strings.Repeat("x", 1<<20))
	var entries [][3]string
	for i := range maxBytes>>20 + 1 {
		entries = append(entries, [3]string{"100644", fmt.Sprint(i), blob})
	}
	if r, err = big.commit(big.tree(entries...)); err != nil {
		t.Fatal(err)
	}
	w := packageWalk{ctx: t.Context(), repo: r, take: nothing}
	if err := w.dir(r.top(), "", ""); err == nil || !strings.Contains(err.Error(),
		"more than 512 MiB") {
		t.Errorf("too much: %v", err)
	}
}

// TestOpenRepoRefuses: an ID stands for all that it leads to.
func TestOpenRepoRefuses(t *testing.T) {
	for want, make := range map[string]func(o *objects) string{
		"the commit is missing": func(o *objects) string { o.files(nil); return commit },
		"is missing": func(o *objects) string {
			return o.add("commit",
				"tree "+commit+"\n")
		},
		"the commit has no tree": func(o *objects) string { return o.add("commit", "tree 12\n") },
		"no part of a commit":    func(o *objects) string { return o.add("tag", "x") },
		"is not the head of an object": func(o *objects) string {
			o.file.WriteString(commit + " missing\n")
			return commit
		},
		"unexpected EOF": func(o *objects) string {
			fmt.Fprintf(&o.file, "%s blob 100\nx\n", commit)
			return commit
		},
		"is too large": func(o *objects) string {
			fmt.Fprintf(&o.file, "%s blob 99999999999999\n", commit)
			return commit
		},
		"an object has the ID": func(o *objects) string {
			fmt.Fprintf(&o.file, "%s blob 1\nx\n", commit)
			return commit
		},
		"of \"f\" are missing": func(o *objects) string {
			return o.add("commit", "tree "+o.tree([3]string{"100644", "f", commit})+"\n")
		},
		"\"f\" twice": func(o *objects) string {
			f := [3]string{"100644", "f", o.add("blob", "x")}
			return o.add("commit", "tree "+o.tree(f, f)+"\n")
		},
		"\"f\" twice, or": func(o *objects) string {
			return o.add("commit", "tree "+o.tree([3]string{"100644", "f", o.add("blob", "x")},
				[3]string{"100644", "f.x", o.add("blob", "x")}, [3]string{"40000", "f", o.files(nil)})+"\n")
		},
		"has the mode": func(o *objects) string {
			return o.add("commit", "tree "+o.tree([3]string{"60000", "f", o.add("blob", "x")})+"\n")
		},
		"a tree is damaged": func(o *objects) string {
			return o.add("commit",
				"tree "+o.add("tree", "x")+"\n")
		},
		"in one another": func(o *objects) string {
			tree := o.files(nil)
			for range maxParts + 2 {
				tree = o.tree([3]string{"40000", "d", tree})
			}
			return o.add("commit", "tree "+tree+"\n")
		},
	} {
		o := newObjects(t)
		id := make(o)
		_, err := OpenRepo(t.Context(), bytes.NewReader(o.file.Bytes()), int64(o.file.Len()), id)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func FuzzOpenRepo(f *testing.F) {
	o := newObjects(f)
	r, err := o.commit(o.files(map[string]string{"Cargo.toml": manifestA, "l": "->x", "x": "!"}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(o.file.Bytes(), r.commit)
	f.Fuzz(func(t *testing.T, data []byte, id string) {
		if !goodCommit.MatchString(id) {
			return
		}
		bound.Work(t, 1<<30, func() {
			r, err := OpenRepo(t.Context(), bytes.NewReader(data), int64(len(data)), id)
			if err != nil {
				return
			}
			_, _ = crateA.each(t.Context(), r, nothing)
		})
	})
}

// TestManifestsOfWorkspaces: a small repository may have many packages, each with a workspace of
// its own in a directory that is not searched.
func TestManifestsOfWorkspaces(t *testing.T) {
	const packages = 200
	o := newObjects(t)
	large := o.add("blob", "[workspace.package]\nversion = \"1\"\n#"+
		strings.Repeat("x", maxManifest-100))
	one := o.tree([3]string{"100644", manifestFile, large})
	var top, hidden [][3]string
	for i := range packages {
		name := fmt.Sprintf("d%d", i)
		hidden = append(hidden, [3]string{"40000", name, one})
		text := fmt.Sprintf("[package]\nname = \"p%d\"\nversion.workspace = true\n"+
			"workspace = \"../.h/%s\"\n", i, name)
		top = append(top, [3]string{"40000", name,
			o.tree([3]string{"100644", manifestFile, o.add("blob", text)})})
	}
	top = append(top, [3]string{"40000", ".h", o.tree(hidden...)})
	r, err := o.commit(o.tree(top...))
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.find("p0", "1")
	if err == nil || !strings.Contains(err.Error(), "more than 32 MiB") {
		t.Error(err)
	}
}

func TestDirectoriesThatAreExcluded(t *testing.T) {
	const packages = 20_000
	o := newObjects(t)
	var list strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&list, "\"%d\",", i)
	}
	member := o.tree([3]string{"100644", manifestFile,
		o.add("blob", "[package]\nname = \"p\"\nversion.workspace = true\n")})
	var members [][3]string
	for i := range packages {
		members = append(members, [3]string{"40000", fmt.Sprintf("d%d", i), member})
	}
	r, err := o.commit(o.tree([3]string{"40000", "m", o.tree(members...)},
		[3]string{"100644", manifestFile, o.add("blob", "[workspace]\nexclude = ["+list.String()+
			"]\n[workspace.package]\nversion = \"1\"\n")}))
	if err != nil {
		t.Fatal(err)
	}
	// With each name compared with each directory, this takes minutes.
	if _, err = r.find("q", "1"); err == nil || len(r.packages["p"]) != packages {
		t.Errorf("%d packages, %v", len(r.packages["p"]), err)
	}
}
