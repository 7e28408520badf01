// own_points_test: mount points inside what a RUN mounts of the tree.

package plan

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

func TestOwnPoints(t *testing.T) {
	const at = "/home/builder/rpmbuild/BUILD/sources" // AT
	const mount = "    --mount=source=sources,target=" + at + " \\\n"
	point := func(options string) string {
		return mount + "    --mount=" + strings.Replace(options, "AT", at, 1) + " \\\n"
	}
	for name, c := range map[string]struct{ mounts, want, not string }{
		"a cache":         {"type=cache,target=AT/a/b", " sources/a/b/ ", ""},
		"a temporary one": {"type=tmpfs,dst=AT/a", " sources/a/ ", ""},
		"by an argument":  {"type=cache,destination=AT/${PACKAGE}-x", " sources/greeter-x/ ", ""},
		"a directory":     {"source=tools,target=AT/a", " sources/a/ ", ""},
		"a file":          {"source=LICENSE,target=AT/a/b", " sources/a/b ", "sources/a/b/"},
		"a file of the image": {"from=sdk,source=/x,target=AT/other/unused.sh",
			" sources/other/unused.sh ", ""},
		"what the tree has":  {"type=tmpfs,target=AT/other", " sources/other/ ", "unused.sh"},
		"through a link":     {"type=tmpfs,target=AT/greeter/in/x", " sources/a/x/ ", "greeter/in/x"},
		"through a link out": {"type=tmpfs,target=AT/greeter/out/x", "", "x/"},
		"a secret":           {"type=secret,id=s,target=AT/s/s", "", "sources/s"},
	} {
		files := g1(t)
		files["sources/greeter/in"] = link("../a")
		files["sources/a/file"] = &fstest.MapFile{Mode: 0o644}
		files["sources/greeter/out"] = link("/tmp")
		edit(files, "Dockerfile", mount, point(c.mounts))
		r := ownRequest()
		r.Packages = []string{"greeter"}
		p := mustMake(t, files, r)
		got := sees(p, step(t, p, "package/greeter")) + " "
		if !strings.Contains(got, c.want) || c.not != "" && strings.Contains(got, c.not) {
			t.Errorf("%s: greeter sees %s\nwant %q, not %q", name, got, c.want, c.not)
		}
		if len(p.Lacks) > 0 {
			t.Errorf("%s: lacks %q", name, p.Lacks)
		}
	}
	files := g1(t)
	edit(files, "Dockerfile", mount, point("type=tmpfs,target=AT/greeter/greet.sh/x"))
	r := ownRequest()
	r.Packages = []string{"greeter"}
	const want = "the recipe mounts something at sources/greeter/greet.sh/x, and " +
		"sources/greeter/greet.sh is a file"
	if p := mustMake(t, files, r); len(p.Lacks) != 1 || !strings.HasSuffix(p.Lacks[0], want) {
		t.Errorf("lacks %q, want %q", p.Lacks, want)
	}
}

func link(to string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte(to), Mode: os.ModeSymlink | 0o777}
}

func TestOwnPointsInACircle(t *testing.T) {
	v := view{files: map[string]File{"a": {Link: "b/c"}, "b/c": {Link: "../a"}, "up": {Link: "../x"}}}
	for _, name := range []string{"a/x", "b/c", "up/x"} {
		if at, ok := v.resolve(name); ok {
			t.Errorf("%s leads to %s", name, at)
		}
	}
}
