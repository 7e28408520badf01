// Tests of the doctor's findings: engines, real file systems, control groups of both versions,
// servers and the clock.

package doctor

import (
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"buildsys/internal/buildtest/need"
)

func find(t *testing.T, r Report, name string) Check {
	t.Helper()
	for _, c := range r.Checks {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no check %q in %+v", name, r.Checks)
	return Check{}
}

func write(t *testing.T, root, name, data string) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestEngine(t *testing.T) {
	for _, c := range []struct {
		name   string
		engine Engine
		check  string
		want   Status
		words  string
	}{
		{"none", Engine{Err: errors.New("nothing answers"), Fix: "start it"}, "engine", Failure,
			"start it"},
		{"docker", Engine{Kind: "Docker engine", Version: "20.10.24", API: "1.41", Host: "unix:///x"},
			"engine", OK, "API 1.41"},
		{"old buildkitd", Engine{Kind: "buildkitd", Version: "v0.28.0"}, "engine", Warning,
			"CVE-2026-33747"},
		{"buildkitd", Engine{Kind: "buildkitd", Version: "v0.33.1"}, "engine", OK, "v0.33.1"},
		{"buildkitd without a version", Engine{Kind: "buildkitd", Version: "v0.0.0+unknown"}, "engine",
			OK, ""},
		{"overlay2", Engine{Driver: "overlay2"}, "storage driver", OK, "overlay2"},
		{"vfs", Engine{Kind: "Docker engine", Driver: "vfs"}, "storage driver", Warning,
			"VOLUME /var/lib/docker"},
		{"native of a buildkitd", Engine{Kind: "buildkitd", Driver: "native"}, "storage driver", Warning,
			"VOLUME /var/lib/buildkit"},
		{"vfs for unknown reasons", Engine{Kind: "Docker engine", Driver: "vfs"}, "storage driver",
			Warning, "or it may not mount"},
		{"vfs elsewhere", Engine{Driver: "vfs", RootDir: "/data/docker"}, "storage driver", Warning,
			"VOLUME /data/docker"},
		{"driver not told", Engine{}, "storage driver", Skipped, ""},
		{"root of another machine", Engine{RootDir: "/"}, "data root", Skipped, ""},
		{"SDK missing", Engine{SDK: "sdk:1", SDKErr: errors.New("no sdk:1")}, "SDK image", Failure,
			"buildsys sdk build"},
		{"SDK elsewhere", Engine{SDK: "sdk:1", SDKErr: errors.New("no sdk:1"), SDKMay: true}, "SDK image",
			Warning, "remote caches"},
		{"SDK", Engine{SDK: "sdk:1"}, "SDK image", OK, "sdk:1"},
		{"SDK without engine", Engine{SDK: "sdk:1", Err: errors.New("x")}, "SDK image", Skipped, "sdk:1"},
	} {
		got := find(t, Run(t.Context(), Request{Engine: c.engine}), c.check)
		if got.Status != c.want || !strings.Contains(got.Detail+got.Fix, c.words) ||
			(got.Fix == "") != (c.want == OK || c.want == Skipped) {
			t.Errorf("%s: %+v, want %s with %q", c.name, got, c.want, c.words)
		}
	}
}

// TestCopyingFix checks that the advice follows from the engine's directory and privileges, as far
// as they can be seen.
func TestCopyingFix(t *testing.T) {
	dir := t.TempDir()
	need.Mount(t, dir, "-t", "tmpfs", "-o", "size=4m", "none")
	for caps, words := range map[string]string{
		"000001ffffffffff": "its directory is on tmpfs, where overlay works, so it was told to",
		"00000000a80425fb": "this container may mount nothing", // a container's without --privileged
		"":                 "so it was told to",
	} {
		root := t.TempDir()
		write(t, root, "proc/self/status", "Name:\tx\nCapBnd:\t"+caps+"\n")
		c := find(t, Fast(Request{Engine: Engine{Driver: "vfs", RootDir: dir, Local: true}, Root: root}),
			"storage driver")
		if c.Status != Warning || !strings.Contains(c.Fix, words) ||
			!strings.Contains(c.Fix, "--privileged") || strings.Contains(c.Fix, "VOLUME") {
			t.Errorf("%s: %+v, want %q", caps, c, words)
		}
	}
}

// TestSeveral checks each of several engines: one that is gone is a warning, and a failure only if
// none answers.
func TestSeveral(t *testing.T) {
	nodes := []Engine{{Kind: "buildkitd", Host: "a", Driver: "native"},
		{Host: "b", Err: errors.New("b: nothing answers there")}}
	r := Fast(Request{Engine: Engine{Kind: "buildkitd", Host: "a, b"}, Nodes: nodes})
	if len(r.Checks) < 3 || r.Checks[0].Status != OK || r.Checks[1].Name != "storage driver" ||
		r.Checks[1].Status != Warning || r.Checks[2].Status != Warning || r.Worst() == Failure {
		t.Errorf("%+v", r)
	}
	r = Fast(Request{Engine: Engine{Err: errors.New("a: gone; b: gone")}, Nodes: nodes})
	if c := find(t, r, "engine"); c.Status != Failure {
		t.Errorf("%+v", c)
	}
}

func TestWeight(t *testing.T) {
	docker := Engine{Kind: "Docker engine", Local: true, CPUs: 2}
	for _, c := range []struct {
		name, shares, load string
		engine             Engine
		want               bool
	}{
		{"busy", "1024", "9.50", docker, true},
		{"idle", "1024", "1.00", docker, false},
		{"raised", "8192", "9.50", docker, false},
		{"elsewhere", "1024", "9.50", Engine{Kind: "Docker engine", CPUs: 2}, false},
		{"control groups v2", "", "9.50", docker, false},
	} {
		root := t.TempDir()
		write(t, root, "proc/loadavg", c.load+" 1.00 1.00 1/100 1\n")
		if c.shares != "" {
			write(t, root, "sys/fs/cgroup/cpu/docker/cpu.shares", c.shares+"\n")
		}
		said := false
		for _, check := range Fast(Request{Engine: c.engine, Root: root}).Checks {
			said = said || check.Name == "processor weight" && check.Status == Note &&
				strings.Contains(check.Detail, "10 want to run on 2")
		}
		if said != c.want {
			t.Errorf("%s: reported: %v", c.name, said)
		}
	}
}

// TestDataRootOnOverlay checks a real overlay mount, such as a container's own file system.
func TestDataRootOnOverlay(t *testing.T) {
	base := t.TempDir()
	// its layers must not be on an overlay themselves
	need.Mount(t, base, "-t", "tmpfs", "-o", "size=4m", "none")
	for _, d := range []string{"lower", "upper", "work", "merged"} {
		if err := os.Mkdir(filepath.Join(base, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	at := base + "/merged"
	need.Mount(t, at, "-t", "overlay", "-o",
		"lowerdir="+base+"/lower,upperdir="+base+"/upper,workdir="+base+"/work", "none")
	root := at + "/docker"
	if err := os.Mkdir(root, 0o700); err != nil {
		t.Fatal(err)
	}
	r := Fast(Request{Engine: Engine{Driver: "vfs", RootDir: root, Local: true}})
	c := find(t, r, "data root")
	if c.Status != Warning || !strings.Contains(c.Detail, "on overlay") ||
		!strings.Contains(c.Fix, "VOLUME "+root) {
		t.Errorf("%+v", c)
	}
	if r.Worst() != Failure { // 4 MB for an engine
		t.Errorf("worst is %s", r.Worst())
	}
	if c := find(t, Fast(Request{Engine: Engine{RootDir: base, Local: true}}),
		"data root"); c.Status != OK || !strings.HasSuffix(c.Detail, "tmpfs") {
		t.Errorf("%+v", c)
	}
}

func TestDisk(t *testing.T) {
	small := t.TempDir()
	need.Mount(t, small, "-t", "tmpfs", "-o", "size=8m,nr_inodes=500k", "none")
	few := t.TempDir()
	need.Mount(t, few, "-t", "tmpfs", "-o", "size=8m,nr_inodes=1100", "none")
	none := t.TempDir()
	need.Mount(t, none, "-t", "tmpfs", "-o", "size=8m,nr_inodes=50", "none")
	readOnly := t.TempDir()
	need.Mount(t, readOnly, "-t", "tmpfs", "-o", "ro,nr_inodes=500k", "none")
	write(t, small, "file", "x")
	if err := os.Symlink("/nowhere/x", small+"/link"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		place Place
		want  Status
		words string
	}{
		{"enough", Place{Path: small, Need: 1 << 20}, OK, "7.9 MiB free"},
		{"not there yet", Place{Path: small + "/a/b", Need: 1 << 20}, OK, ""},
		{"less than needed", Place{Path: small, Need: 1 << 30, Min: 1 << 20}, Warning, "1 GiB"},
		{"nothing to work with", Place{Path: small, Need: 1 << 30, Min: 16 << 20}, Failure, "16 MiB"},
		{"few inodes", Place{Path: few}, Warning, "50,000"},
		{"no inodes", Place{Path: none}, Failure, "1000 inodes"},
		{"read-only", Place{Path: readOnly}, Failure, "read-only"},
		{"a file", Place{Path: small + "/file/x"}, Failure, "not a directory"},
		{"a link to nothing", Place{Path: small + "/link"}, Failure, "a symbolic link to /nowhere/x"},
	} {
		c.place.Name = c.name
		got := disk(c.place)
		if got.Status != c.want || !strings.Contains(got.Detail+got.Fix, c.words) ||
			(got.Fix == "") != (c.want == OK) {
			t.Errorf("%s: %+v, want %s with %q", c.name, got, c.want, c.words)
		}
	}
}

func TestLimits(t *testing.T) {
	const meminfo = "MemTotal:       16777216 kB\nMemFree:  1 kB\n"
	for _, c := range []struct {
		name        string
		files       map[string]string
		engine      Engine
		jobs        int
		memory, cpu Status
		words       string
	}{
		{"no limits", nil, Engine{CPUs: 8, Local: true}, 0, OK, OK, "16 GiB for 8 steps"},
		{"too many jobs", nil, Engine{CPUs: 8, Local: true}, 32, Warning, OK, "--jobs 16"},
		{"v2", map[string]string{
			"proc/self/cgroup": "0::/ci/job\n", "sys/fs/cgroup/ci/job/memory.max": "max\n",
			"sys/fs/cgroup/ci/memory.max":  "2147483648\n",
			"sys/fs/cgroup/ci/job/cpu.max": "150000 100000\n", "sys/fs/cgroup/ci/cpu.max": "max 100000\n",
		}, Engine{CPUs: 8, Local: true}, 0, Warning, Warning, "/sys/fs/cgroup/ci/memory.max"},
		{"v2 in a container", map[string]string{
			"proc/self/cgroup": "0::/not/here\n", "sys/fs/cgroup/memory.max": "4294967296\n",
			"sys/fs/cgroup/cpu.max": "200000 100000\n",
		}, Engine{CPUs: 8, Local: true}, 2, OK, OK, "2.0 (quota"},
		{"v1", map[string]string{
			"proc/self/cgroup": "5:cpu,cpuacct:/j\n4:memory:/j\n3:pids:/j\n",
			"sys/fs/cgroup/memory/j/memory.limit_in_bytes":       "3221225472\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":         "9223372036854771712\n",
			"sys/fs/cgroup/cpu/j/cpu.cfs_quota_us":               "100000\n",
			"sys/fs/cgroup/cpu/j/cpu.cfs_period_us":              "100000\n",
			"sys/fs/cgroup/cpu/cpu.cfs_quota_us":                 "-1\n",
			"sys/fs/cgroup/cpu/cpu.cfs_period_us":                "100000\n",
			"sys/fs/cgroup/pids/j/memory.limit_in_bytes":         "1\n",
			"sys/fs/cgroup/memory/j/child/memory.limit_in_bytes": "1\n",
		}, Engine{CPUs: 4, Local: true}, 0, Warning, Warning, "--jobs 1"},
		{"engine elsewhere", map[string]string{"proc/self/cgroup": "0::/\n",
			"sys/fs/cgroup/memory.max": "1048576\n", "sys/fs/cgroup/cpu.max": "1 100000\n"},
			Engine{CPUs: 64, Memory: 128 << 30}, 0, OK, OK, "128 GiB for 64 steps"},
		{"engine that does not tell", nil, Engine{Kind: "buildkitd"}, 0, OK, Skipped, "--jobs"},
	} {
		root := t.TempDir()
		write(t, root, "proc/meminfo", meminfo)
		for name, data := range c.files {
			write(t, root, name, data)
		}
		r := Fast(Request{Engine: c.engine, Jobs: c.jobs, Root: root})
		memory, cpu := find(t, r, "memory"), find(t, r, "processors")
		if text := memory.Detail + memory.Fix + cpu.Detail + cpu.Fix; memory.Status != c.memory ||
			cpu.Status != c.cpu || !strings.Contains(text, c.words) {
			t.Errorf("%s: %+v and %+v, want %s and %s with %q", c.name, memory, cpu, c.memory, c.cpu,
				c.words)
		}
	}
}

func TestServers(t *testing.T) {
	stop := make(chan struct{})
	serve := func(code int, date time.Time, header ...string) string {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if code == 0 {
				<-stop
				return
			}
			w.Header().Set("Date", date.UTC().Format(http.TimeFormat))
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(code)
		}))
		t.Cleanup(srv.Close)
		return srv.URL
	}
	defer close(stop)
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	at := func() time.Time { return now }
	for _, c := range []struct {
		url     string
		timeout time.Duration
		want    Status
		words   string
		clock   Status
	}{
		{serve(404, now), time.Minute, OK, "answers", OK},
		{serve(401, now), time.Minute, Warning, "refuses access (401)", OK},
		{serve(403, now), time.Minute, OK, "answers (403, as buckets do", OK},
		{serve(429, now, "Retry-After", "30"), time.Minute, Warning,
			"limits requests (429, again in 30 s)", OK},
		{serve(503, now), time.Minute, Warning, "503", OK},
		{serve(200, now.Add(time.Hour)), time.Minute, OK, "", Warning},
		{serve(200, now.Add(-4*time.Minute)), time.Minute, OK, "", OK},
		{serve(0, now), 200 * time.Millisecond, Warning, "no answer within 200ms", OK},
		{"http://127.0.0.1:1/", time.Minute, Warning, "refused", OK},
	} {
		r := Run(t.Context(), Request{Servers: []Server{{Name: "server", URL: c.url, Fix: "do"}}, Now: at,
			Timeout: c.timeout})
		got, clock := find(t, r, "server"), find(t, r, "clock")
		if got.Status != c.want || !strings.Contains(got.Detail, c.words) || clock.Status != c.clock {
			t.Errorf("%s: %+v and %+v, want %s with %q and a clock that is %s", c.url, got, clock, c.want,
				c.words, c.clock)
		}
	}
	r := Run(t.Context(), Request{Now: func() time.Time { return time.Unix(0, 0) }})
	if c := find(t, r, "clock"); c.Status != Failure {
		t.Errorf("in 1970: %+v", c)
	}
}

func TestWriteText(t *testing.T) {
	var b strings.Builder
	r := Report{[]Check{{"engine", OK, "Docker", ""}, {"disk: x", Warning, "full", "free some"}}}
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	want := "ok       engine   Docker\nwarning  disk: x  full\n                  -> free some\n"
	if b.String() != want {
		t.Errorf("%q\nwant\n%q", b.String(), want)
	}
	if r.Worst() != Warning {
		t.Error(r.Worst())
	}
}

// The doctor says which limits of steps are missing, and does not take a setting for one that an
// engine ignores.
func TestStrangersLimits(t *testing.T) {
	docker := func(version string) Engine {
		return Engine{Kind: "Docker engine", Version: version}
	}
	some := func(engines ...Engine) []Engine { return engines }
	buildkit := Engine{Kind: "buildkitd", Version: "v0.12.5"}
	for name, tt := range map[string]struct {
		s    Strangers
		want map[string]string // details of warnings, by name
	}{
		"none": {Strangers{Engines: []Engine{docker("29.1.0")}},
			map[string]string{"processes and memory": "a step may take all that the engine has"}},
		"all":             {Strangers{Cgroup: "ci", Engines: some(docker("23.0.1"), buildkit)}, nil},
		"a silent engine": {Strangers{Cgroup: "ci", Engines: []Engine{{}}}, nil},
		"an old engine": {Strangers{Cgroup: "ci",
			Engines: []Engine{buildkit, docker("20.10.24+dfsg1")}}, map[string]string{
			"processes and memory": "Docker engine 20.10.24+dfsg1 ignores the control group ci",
			"size of files":        "Docker engine 20.10.24+dfsg1 does not limit it for steps",
		}},
	} {
		got := map[string]string{}
		for _, check := range tt.s.Checks() {
			if check.Status != OK {
				got[strings.TrimPrefix(check.Name, "strangers: ")] = check.Detail
			}
		}
		if !maps.Equal(got, tt.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestDatabase checks that records of the engine that have grown are named, and others are not.
func TestDatabase(t *testing.T) {
	root := t.TempDir()
	e := Engine{Kind: "Docker engine", Local: true, RootDir: root}
	write(t, root, "buildkit/metadata_v2.db", "")
	large := filepath.Join(root, "buildkit/metadata_v2.db")
	if _, found := (Request{Engine: e}).database(); found {
		t.Error("an empty file is named")
	}
	if err := os.Truncate(large, 300<<20); err != nil {
		t.Fatal(err)
	}
	c := find(t, Report{Request{Engine: e}.engines()}, "engine's records")
	if c.Status != Warning || !strings.Contains(c.Detail, large+" has 300 MiB") {
		t.Errorf("%+v", c)
	}
	e.Local = false
	if _, found := (Request{Engine: e}).database(); found {
		t.Error("a file of another machine is named")
	}
}
