// Golden text of the sink for people, of the end report, and of the words that both use.

package progress

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sirupsen/logrus"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// story is a run in which every kind of event happens.
func story() []Event {
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	return []Event{
		{Time: at(0), Kind: PlanReady, Total: 12, Plan: &Plan{Arch: "x86_64", Steps: []PlannedStep{
			{ID: "package/bash", Expected: 95 * time.Second, Known: true},
			{ID: "package/pcre", Expected: 95 * time.Second}}}},
		{Time: at(0), Kind: StepStart, Step: "package/musl", Total: 12,
			Running: []string{"package/musl"}},
		{Time: at(0), Kind: Heartbeat, Total: 12, Running: []string{"package/musl"},
			Text: "making the engine ready"},
		{Time: at(0), Kind: FetchStart, Step: "package/bash", Text: "bash-5.2.tar.gz"},
		{Time: at(1), Kind: StepLog, Step: "package/musl", Text: "\x1b[1mchecking\x1b[0m for gcc...\r"},
		{Time: at(2), Kind: FetchRetry, Step: "package/bash", Text: "bash-5.2.tar.gz",
			Err: errors.New("connection reset\nby peer")},
		{Time: at(3), Kind: FetchProgress, Step: "package/bash", Text: "bash-5.2.tar.gz",
			Bytes: 3 << 20, Size: 10 << 20},
		{Time: at(3), Kind: FetchProgress, Step: "package/pcre", Text: "pcre: waiting for another"},
		{Time: at(5), Kind: FetchStart, Step: "package/pcre"}, // its outputs
		{Time: at(10), Kind: Heartbeat, Total: 12, Running: []string{"package/musl", "package/bash",
			"package/zlib"}},
		{Time: at(11), Kind: FetchDone, Step: "package/bash", Text: "bash-5.2.tar.gz",
			Duration: 11 * time.Second},
		{Time: at(12), Kind: StepDone, Step: "package/musl", Duration: 12340 * time.Millisecond, Done: 1,
			Total: 12},
		{Time: at(12), Kind: StepStart, Step: "package/bash", Done: 1, Total: 12,
			Running: []string{"package/bash"}},
		{Time: at(14), Kind: StepRetry, Step: "package/bash", Text: "attempt 2 of 3, engine lost",
			Err: errors.New("engine went away")},
		{Time: at(15), Kind: Warning, Step: "package/bash", Text: "slow disk"},
		{Time: at(15), Kind: Warning, Text: "disk nearly full"},
		{Time: at(16), Kind: StepFetched, Step: "package/pcre", Text: "registry.example/cache"},
		{Time: at(20), Kind: FetchStart, Step: "package/pcre", Text: "pcre.tar.gz"}, // it was sent back
		{Time: at(25), Kind: Heartbeat, Done: 1, Total: 12,
			Running: []string{"package/bash", "package/pcre"}},
		{Time: at(25), Kind: FetchProgress, Step: "package/pcre", Text: "pcre.tar.gz", Bytes: 1 << 20},
		{Time: at(26), Kind: StepRestored, Step: "package/acl"},
		{Time: at(26), Kind: StepCached, Step: "package/acl", Done: 2, Total: 12},
		{Time: at(59), Kind: StepLog, Step: "package/bash", Text: "checking \x1b[1mfor gcc\x1b[0m..."},
		{Time: at(59), Kind: StepLog, Step: "package/bash", Text: " "},
		{Time: at(60), Kind: RunForecast, Duration: 5 * time.Minute},
		{Time: at(60), Kind: Heartbeat, Done: 2, Total: 12,
			Running: []string{"package/bash", "package/pcre"}},
		{Time: at(70), Kind: Heartbeat, Done: 2, Total: 12, Running: []string{"package/bash"}},
		{Time: at(79), Kind: FetchProgress, Step: "package/pcre", Text: "pcre.tar.gz", Bytes: 1 << 20},
		{Time: at(80), Kind: FetchProgress, Step: "package/pcre", Text: "pcre.tar.gz", Bytes: 2 << 20},
		{Time: at(81), Kind: FetchProgress, Step: "package/pcre", Text: "pcre.tar.gz", Bytes: 3 << 20},
		{Time: at(119), Kind: StepLog, Step: "package/bash", Text: strings.Repeat("long ", 20)},
		{Time: at(120), Kind: StepLog, Step: "package/bash", Text: "the last"},
		{Time: at(121), Kind: StepFailed, Step: "package/bash", Duration: 67 * time.Second,
			Err: errors.New("exit code: 1"), Done: 3, Total: 12,
			Cause: &Cause{Phase: "%prep", Text: "patch a.patch does not apply"}},
		{Time: at(79), Kind: StepSkipped, Step: "package/release", Text: "package/bash", Done: 4,
			Total: 12},
		{Time: at(79), Kind: StepFailed, Step: "package/zlib",
			Err: errors.New("zlib.tar.gz: no source has it"), Done: 5, Total: 12},
		{Time: at(80), Kind: StepCancelled, Step: "variant/qemu-dev", Duration: time.Second, Done: 6,
			Total: 12},
		{Time: at(81), Kind: PlanDone, Duration: 81 * time.Second, Done: 6, Total: 12},
	}
}

const quiet = `12 steps
[ 0/12] musl started (1 running)
[ 0/12] making the engine ready
bash: fetching bash-5.2.tar.gz
warning: bash: fetching again: bash-5.2.tar.gz: connection reset …
pcre: pcre: waiting for another
bash: fetched bash-5.2.tar.gz in 11.0s
[ 1/12] musl done in 12.3s (0 running)
[ 1/12] bash started (1 running)
warning: bash is built again (attempt 2 of 3, engine lost): engine went away
warning: bash: slow disk
warning: disk nearly full
pcre fetched from registry.example/cache
pcre: fetching pcre.tar.gz
acl restored from the store
[ 2/12] still running: bash 48.0s of ~1m40s "checking for gcc...", pcre 40.0s (fetching); about 5m left
pcre: pcre.tar.gz: 2 MiB
[ 2/12] still running: bash 1m48s of ~1m40s "the last", pcre 1m40s (fetching); about 4m left
error: [ 3/12] bash failed after 1m07s: %prep: patch a.patch does not apply
warning: [ 4/12] release skipped because bash failed
error: [ 5/12] zlib failed: zlib.tar.gz: no source has it
warning: [ 6/12] variant qemu-dev stopped after 1.0s
`

func TestText(t *testing.T) {
	loud := strings.NewReplacer(
		"warning: bash: fetching again", "musl | checking for gcc...\nwarning: bash: fetching again",
		"acl restored from the store\n", "acl restored from the store\n[ 2/12] acl is up to date\n"+
			"bash | checking for gcc...\nbash |  \n",
		` "checking for gcc..."`, "", ` "the last"`, "",
		"pcre: pcre.tar.gz: 2 MiB\n", "pcre: pcre.tar.gz: 2 MiB\n"+
			"bash | "+strings.Repeat("long ", 20)+"\nbash | the last\n",
	).Replace(quiet)
	for verbose, want := range map[bool]string{false: quiet, true: loud} {
		var b bytes.Buffer
		log := logrus.New()
		log.SetOutput(&b)
		text := NewText(log, verbose)
		for _, e := range story() {
			text.Event(e)
		}
		if got := b.String(); got != want {
			t.Errorf("verbose %v: got\n%s\nwant\n%s", verbose, got, want)
		}
	}
}

func TestReport(t *testing.T) {
	for _, tt := range []struct {
		name string
		s    Summary
		want string
	}{
		{"good", Summary{Done: 1, Total: 1, Duration: 400 * time.Millisecond},
			"1 of 1 step done in 0.4s\n"},
		{"cancelled", Summary{Done: 3, Cancelled: 9, Total: 12, Duration: time.Hour + 2*time.Minute},
			"3 of 12 steps done, 9 cancelled in 1h02m\n"},
		{"cached", Summary{Cached: 3, Total: 3, Duration: 400 * time.Millisecond},
			"3 steps up to date, nothing to do (0.4s)\n"},
		{"retries", Summary{Done: 1, Total: 1, Retries: 2, Duration: time.Second},
			"1 of 1 step done in 1.0s (2 retries)\n"},
		{"remote", Summary{Done: 2, Cached: 10, Total: 12, Retries: 1, Duration: 5 * time.Second,
			Remote: &Traffic{Found: 12, Fetched: 1, Pushed: 3, Down: 52<<20 + 1<<17, Up: 300}},
			"remote cache: 12 results found, 1 fetched, 3 uploaded; 52.1 MiB received, 300 bytes sent\n" +
				"2 of 2 steps done, 10 up to date in 5.0s (1 retry)\n"},
		{"failed", Summary{
			Failures: []Failure{
				{Step: "package/bash",
					Err:  errors.New("process did not complete: exit code: 1\n  Dockerfile:14"),
					Tail: []string{"make: *** [all] Error 2", "\x1b[31mred\x1b[0m"},
					Log:  "build/logs/x86_64/package-bash.log"},
				{Step: "package/zlib", Err: errors.New("zlib.tar.gz: no source has it")},
				{Step: "package/less", Err: errors.New("exit code: 1"), Tail: []string{"not shown"},
					Cause: &Cause{Phase: "%prep", Text: "patch x.patch does not apply", Hint: "mend it",
						Lines: []string{"1 out of 1 hunk FAILED", "\x1b[31mred"}}, Log: "less.log"},
			},
			Skipped: []Skipped{{Root: "package/bash", Steps: []string{"package/release",
				"variant/qemu-dev"}}},
			Done: 8, Total: 12, Duration: 81 * time.Second,
		}, `
bash failed
  process did not complete: exit code: 1
    Dockerfile:14
  last 2 lines of its output:
  | make: *** [all] Error 2
  | red
  whole log: build/logs/x86_64/package-bash.log

zlib failed
  zlib.tar.gz: no source has it

less: %prep: patch x.patch does not apply
  mend it
  | 1 out of 1 hunk FAILED
  | red
  whole log: less.log

not built because bash failed: release, variant qemu-dev

8 of 12 steps done, 3 failed, 2 skipped in 1m21s
`},
	} {
		var b bytes.Buffer
		if err := WriteReport(&b, tt.s); err != nil {
			t.Fatal(err)
		}
		if b.String() != tt.want {
			t.Errorf("%s: got\n%s\nwant\n%s", tt.name, b.String(), tt.want)
		}
	}
}

func TestTook(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0.0s", 1234 * time.Millisecond: "1.2s", 59940 * time.Millisecond: "59.9s",
		59960 * time.Millisecond:   "1m00s",
		65 * time.Second:           "1m05s",
		3599600 * time.Millisecond: "1h00m", 7380 * time.Second: "2h03m",
	} {
		if got := Took(d); got != want {
			t.Errorf("Took(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain\ttext":                    "plain\ttext",
		"\x1b[31mred\x1b[0m":             "red",
		"\x1b]0;title\x07after":          "after",
		"\x1b]8;;http://x\x1b\\link":     "link",
		"\x1b(Bcharset":                  "charset",
		" 10%\r 50%\r100%\r":             "100%",
		"a\x00b\x08c\u009b31m":           "abc31m",
		"bad \xff byte":                  "bad \uFFFD byte",
		"cut \x1b":                       "cut ",
		"\u202Eevil":                     "evil",
		strings.Repeat("é", 3000):        strings.Repeat("é", 2048) + "…",
		"x" + strings.Repeat("é", 3000):  "x" + strings.Repeat("é", 2047) + "…",
		strings.Repeat("\x1b[1m", 10000): "…",
	} {
		if got := Clean(in); got != want {
			t.Errorf("Clean(%.40q) = %.80q, want %.80q", in, got, want)
		}
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"", "a\rb", "\x1b[31mred", "\x1b]0;t\x07", "\xff\xfe", "\x1b\x1b[[1m",
		strings.Repeat("ÿ", 4000)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Clean(s)
		if !utf8.ValidString(got) || len(got) > 3*maxLine+len("…") {
			t.Errorf("Clean(%q) = %q", s, got)
		}
		if strings.ContainsFunc(got, func(r rune) bool { return unicode.IsControl(r) && r != '\t' }) {
			t.Errorf("Clean(%q) = %q holds control characters", s, got)
		}
	})
}
