// What compilers made in earlier builds: it saves time, and the RPMs are the same bytes without it.

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"buildsys/internal/buildtest"
)

// objectSpec makes three objects, one that the assembler reads another file for, and one that is
// for this machine's processor. before stands before all that.
const objectSpec = `# %s
Name: %%{_cross_os}thing
Version: 1.0
Release: 1
Summary: test
License: MIT
Source1: a.c
Source2: b.c
Source3: c.c
Source4: x.S
Source5: x.inc
Source6: h.h
%%description
%%{summary}.
%%prep
%%setup -cT
cp %%{_sourcedir}/[abcx].* .
mkdir one two unknown
cp %%{_sourcedir}/first.h one/h.h || :
cp %%{_sourcedir}/h.h two/
%%build
compile() { %%{_cross_triple}-gcc -O2 -Ione -Itwo -c "$@"; }
%s
for f in a b c; do
  compile $f.c
done
compile x.S
cp x.S y.s
compile y.s
compile -mtune=native a.c -o native.o
# What these make is in no RPM. None may be asked for.
echo --noexecstack >options
echo -O2 >more
echo 'asm(".incbin \"a.c\"");' >bin.c
echo 'asm(".INCBIN" " \"a.c\"");' >words.c
compile -flto a.c -o unknown/lto.o
compile -fopt-info-all=unknown/info a.c -o unknown/info.o
compile -Wa,@options a.c -o unknown/options.o
compile -Xassembler --noexecstack a.c -o unknown/assembler.o
compile @more a.c -o unknown/more.o
compile bin.c -o unknown/bin.o
compile words.c -o unknown/words.o
for option in -v -Q -time -ftime-report -fstats -Wa,--stat -Wa,-a=unknown/list -dA \
    -fdiagnostics-format=json-file -fsave-optimization-record -fprofile-generate --coverage -ftest-coverage; do
  compile $option a.c -o unknown/more.o
done
compile -aux-info unknown/aux a.c -o unknown/more.o
test -e unknown/info -a -e unknown/aux -a -e unknown/list
%%{_cross_triple}-gcc -shared -nostdlib c.o -o unknown/linked
%%install
mkdir -p %%{buildroot}/thing
cp *.o %%{buildroot}/thing/
%%files
/thing
`

// goSpec makes a program.
const goSpec = `# %s
Name: %%{_cross_os}thing
Version: 1.0
Release: 1
Summary: test
License: MIT
%%description
%%{summary}.
%%prep
%%setup -cT
%%build
%%set_cross_go_flags
printf 'module thing\n' >go.mod
printf 'package main\nfunc main() { println("%s") }\n' >main.go
go build %%{cross_go_ldflags} -o thing .
%%install
mkdir -p %%{buildroot}/thing
cp thing %%{buildroot}/thing/
%%files
/thing
`

// compiling is a package that is built with what compilers made, again and again.
type compiling struct {
	*testing.T
	root, spec, before string
	objects            string // where they are kept
	builds             int
}

func newCompiling(t *testing.T, spec string) *compiling {
	needEngine(t)
	c := &compiling{T: t, root: writeTree(t, pkg{name: "thing"}), spec: spec,
		objects: filepath.Join(t.TempDir(), "objects")}
	for _, name := range []string{"a", "b"} {
		write(t, c.root, "packages/thing/"+name+".c",
			"int "+name+"(int x) { return x * '"+name+"'; }\n")
	}
	write(t, c.root, "packages/thing/c.c", "#include <h.h>\nint c(int x) { return H; }\n")
	write(t, c.root, "packages/thing/h.h", "#define H 3\n")
	write(t, c.root, "packages/thing/x.S", ".include \"x.inc\"\n")
	write(t, c.root, "packages/thing/x.inc", ".long 1\n")
	return c
}

// build builds the package anew, on a machine that has nothing but the objects.
func (c *compiling) build(args ...string) result {
	c.Helper()
	c.builds++
	write(c.T, c.root, "packages/thing/thing.spec", fmt.Sprintf(c.spec,
		fmt.Sprint(c.Name(), os.Getpid(), c.builds), c.before))
	cache := c.TempDir()
	if _, err := os.Stat(c.objects); err == nil {
		buildtest.Must(c.T, os.Rename(c.objects, filepath.Join(cache, "objects")))
	}
	r := buildsys(c.T, c.root, []string{"BUILDSYS_CACHE_DIR=" + cache},
		append([]string{"build-package", "thing", "--trust-tree"}, args...)...)
	if _, err := os.Stat(filepath.Join(cache, "objects")); err == nil {
		buildtest.Must(c.T, os.Rename(filepath.Join(cache, "objects"), c.objects))
	}
	return r
}

// same builds the package and requires the bytes it had before.
func (c *compiling) same(want, says string, args ...string) {
	c.Helper()
	r := c.build(args...)
	r.must(c.T, 0)
	if got := knownObjects.FindString(r.stderr); got != says {
		c.Errorf("%q: the run says %q, want %q\n%s", args, got, says, r.stderr)
	}
	if rpmBytes(c.T, c.root, "thing") != want {
		c.Errorf("%q: the RPM has other bytes", args)
	}
}

var knownObjects = regexp.MustCompile(`\d+ of \d+ objects known( \(\d+ compiled again, the same\))?`)

// meddling speaks to the cache as no compiler does: it keeps the object of b.c under the key of
// a.c.
const meddling = `
export CCACHE_LOGFILE=/tmp/objects/log
compile a.c
compile b.c
python3 - <<'END'
import re, socket
def talk(data, more=True):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(10)
    s.connect("/host/objects")
    s.sendall(data)
    if not more:
        s.shutdown(socket.SHUT_WR)
    got = b""
    try:
        while not got.endswith(b"\r\n") or got.startswith(b"$") and got.count(b"\r\n") < 2:
            part = s.recv(1 << 16)
            if not part:
                break
            got += part
    except OSError:
        pass
    return got
def command(*words):
    return b"*%%d\r\n" %% len(words) + b"".join(b"$%%d\r\n%%s\r\n" %% (len(w), w) for w in words)
for bad in [b"\xff" * 100000, b"*3\r\n$3\r\nSET\r\n$99999999\r\n", b"GET / HTTP/1.1\r\n\r\n",
            command(b"SET", b"../../../escaped", b"x"), command(b"FLUSHALL"), b"*1\r\n" * 1000]:
    talk(bad, False)
many = [socket.socket(socket.AF_UNIX) for i in range(300)]
for s in many:
    s.connect("/host/objects")
for s in many:
    s.close()
a, b = [w.encode() for w in re.findall(r"GET (ccache:\w+)", open("/tmp/objects/log").read())][:2]
if %s:
    value = talk(command(b"GET", b)).split(b"\r\n", 1)[1][:-2]
    assert len(value) > 100
    assert talk(command(b"DEL", a)) == b":1\r\n" and talk(command(b"SET", a, value)) == b"+OK\r\n"
END
unset CCACHE_LOGFILE
rm *.o
`

// TestCompileCache: objects that this or another machine has made are known; RPMs have the same
// bytes without any, with none known and with all; what a hostile build sends harms no object; and
// one that is not what the compiler makes is found.
func TestCompileCache(t *testing.T) {
	c := newCompiling(t, objectSpec)
	c.build("--compile-cache=off").must(t, 0)
	want := rpmBytes(t, c.root, "thing")
	shared := t.TempDir()
	c.same(want, "0 of 3 objects known", "--compile-cache=on", "--cache-to", shared)
	buildtest.Must(t, os.RemoveAll(c.objects))
	c.same(want, "3 of 3 objects known", "--compile-cache=on", "--cache-audit=0",
		"--cache-from", shared)
	c.same(want, "3 of 3 objects known (3 compiled again, the same)", "--compile-cache=on",
		"--cache-audit=100")
	c.same(want, "", "--compile-cache=on", "--release", "--cache-dir", t.TempDir())
	c.before = fmt.Sprintf(meddling, "False")
	c.same(want, "5 of 5 objects known", "--compile-cache=read", "--cache-audit=0")
	c.before = ""
	for _, change := range []struct{ name, text, says string }{
		{"x.inc", ".long 2\n", "3 of 3 objects known"},       // the assembler reads it
		{"first.h", "#define H 4\n", "2 of 3 objects known"}, // a header earlier in the search path
	} {
		write(t, c.root, "packages/thing/"+change.name, change.text)
		c.build("--compile-cache=off").must(t, 0)
		before := want
		if want = rpmBytes(t, c.root, "thing"); want == before {
			t.Errorf("%s is in no RPM", change.name)
		}
		c.same(want, change.says, "--compile-cache=on", "--cache-audit=0")
	}
}

// TestCompileCachePoisoned: an object that a hostile build has left in its package's space is found
// by the comparison, and is out of use afterwards.
func TestCompileCachePoisoned(t *testing.T) {
	c := newCompiling(t, objectSpec)
	c.build("--compile-cache=on").must(t, 0)
	want := rpmBytes(t, c.root, "thing")
	c.before = fmt.Sprintf(meddling, "True")
	c.build("--compile-cache=on", "--cache-audit=0").must(t, 0)
	c.before = ""
	c.build("--compile-cache=on", "--cache-audit=100").must(t, 5, "another object of thing")
	r := c.build("--compile-cache=on", "--cache-audit=0")
	r.must(t, 0, "compiled objects of thing are not used")
	if rpmBytes(t, c.root, "thing") != want {
		t.Error("the RPM has other bytes than before the poisoning")
	}
}

// TestCompileCacheGo: the go command finds what it has compiled before.
func TestCompileCacheGo(t *testing.T) {
	c := newCompiling(t, goSpec)
	c.before = "hello"
	c.build("--compile-cache=on").must(t, 0)
	want := rpmBytes(t, c.root, "thing")
	r := c.build("--compile-cache=on", "--cache-audit=0")
	r.must(t, 0)
	var known, asked int // all but what the linker made, which the go command never keeps
	says := knownObjects.FindString(r.stderr)
	if _, err := fmt.Sscanf(says, "%d of %d", &known, &asked); err != nil || known < 10 ||
		known+1 < asked {
		t.Errorf("the run says %q, %v:\n%s", says, err, r.stderr)
	}
	if rpmBytes(t, c.root, "thing") != want {
		t.Error("the RPM has other bytes when everything is known")
	}
	c.same(want, "", "--compile-cache=off")
}
