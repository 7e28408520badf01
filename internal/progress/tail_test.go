package progress

import (
	"fmt"
	"slices"
	"testing"
)

func TestTail(t *testing.T) {
	for _, n := range []int{0, 2, 3, 4, 7} {
		tail := NewTail(3)
		var want []string
		for i := range n {
			tail.Event(Event{Kind: StepLog, Step: "package/a", Text: fmt.Sprintf("line %d\r", i)})
			want = append(want, fmt.Sprintf("line %d", i))
		}
		want = want[max(0, n-3):]
		if got := tail.Lines("package/a"); !slices.Equal(got, want) {
			t.Errorf("of %d lines it kept %q, want %q", n, got, want)
		}
		tail.Event(Event{Kind: StepDone, Step: "package/a"})
		if got := tail.Lines("package/a"); got != nil {
			t.Errorf("after success it still holds %q", got)
		}
	}
}
