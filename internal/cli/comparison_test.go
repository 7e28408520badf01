package cli

import (
	"strings"
	"testing"
)

func TestPrintLinesIsCutOff(t *testing.T) {
	var text strings.Builder
	printLines(&text, make([]string, maxLines+2))
	if lines := strings.Split(text.String(), "\n"); len(lines) != maxLines+2 ||
		lines[maxLines] != "  … and 2 more lines" {
		t.Errorf("%d lines, then %q", len(lines), lines[len(lines)-2])
	}
}
