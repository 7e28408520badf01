package cli

import (
	"strings"
	"testing"

	"buildsys/internal/image"
)

// TestInspectTextIsHarmless checks that no label in an image reaches the terminal as an escape
// sequence.
func TestInspectTextIsHarmless(t *testing.T) {
	var b strings.Builder
	one := inspected{Image: "x.img",
		Report: image.Report{Partitions: []image.PartitionReport{{Label: "\x1b[2J\r\u009bA",
			Role: "root"}}}}
	if err := writeInspected(&b, one); err != nil || strings.ContainsAny(b.String(), "\x1b\r\u009b") ||
		!strings.Contains(b.String(), "?[2J??A") {
		t.Errorf("%v: %q", err, b.String())
	}
}
