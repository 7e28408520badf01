// Tests of the output for a run, from the events of a real one.

package main

import (
	"strings"
	"testing"
	"time"
)

const events = `{"Action":"start","Package":"a"}
{"Action":"run","Package":"a","Test":"TestGood"}
{"Action":"output","Package":"a","Test":"TestGood","Output":"=== RUN   TestGood\n"}
{"Action":"output","Package":"a","Test":"TestGood","Output":"noise\n"}
{"Action":"pass","Package":"a","Test":"TestGood"}
{"Action":"run","Package":"a","Test":"TestSkip"}
{"Action":"output","Package":"a","Test":"TestSkip","Output":"    a_test.go:7: only root can run this test\n"}
{"Action":"output","Package":"a","Test":"TestSkip","Output":"--- SKIP: TestSkip (0.00s)\n"}
{"Action":"skip","Package":"a","Test":"TestSkip"}
{"Action":"output","Package":"a","Output":"PASS\n"}
{"Action":"output","Package":"a","Output":"ok  \ta\t0.1s\n"}
{"Action":"pass","Package":"a"}
{"Action":"start","Package":"b"}
{"Action":"run","Package":"b","Test":"TestBad"}
{"Action":"run","Package":"b","Test":"TestBad/sub"}
{"Action":"output","Package":"b","Test":"TestBad/sub","Output":"    b_test.go:9: wrong\n"}
{"Action":"output","Package":"b","Test":"TestBad/sub","Output":"    --- FAIL: TestBad/sub (0.00s)\n"}
{"Action":"fail","Package":"b","Test":"TestBad/sub"}
{"Action":"output","Package":"b","Test":"TestBad","Output":"--- FAIL: TestBad (0.00s)\n"}
{"Action":"fail","Package":"b","Test":"TestBad"}
{"Action":"run","Package":"b","Test":"TestSlow"}
minute
{"Action":"output","Package":"b","Test":"TestSlow","Output":"panic: test timed out\n"}
{"Action":"output","Package":"b","Output":"FAIL\tb\t60.0s\n"}
{"Action":"fail","Package":"b"}
go: a message of the go command
`

const shown = `ok  	a	0.1s
    b_test.go:9: wrong
    --- FAIL: TestBad/sub (0.00s)
--- FAIL: TestBad (0.00s)
[1m0s] running: b TestSlow (1m0s)
FAIL	b	60.0s
panic: test timed out
go: a message of the go command
skipped, only root can run this test:
  a TestSkip
`

func TestProgressOfManyTests(t *testing.T) {
	var out strings.Builder
	p := newPrinter(&out, func() time.Time { return time.Time{} })
	for _, name := range []string{"1", "2", "3", "4", "5", "6", "7"} {
		p.line([]byte(`{"Action":"run","Package":"a","Test":"T` + name + `"}`))
	}
	p.progress()
	want := "[0s] running: a T1 (0s), a T2 (0s), a T3 (0s), a T4 (0s), a T5 (0s), 2 more\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", &out, want)
	}
}

func TestPrinter(t *testing.T) {
	var out strings.Builder
	var clock time.Time
	p := newPrinter(&out, func() time.Time { return clock })
	for line := range strings.Lines(events) {
		if line == "minute\n" {
			clock = clock.Add(time.Minute)
			p.progress()
			continue
		}
		p.line([]byte(line))
	}
	p.summary()
	if out.String() != shown {
		t.Errorf("got:\n%swant:\n%s", &out, shown)
	}
}
