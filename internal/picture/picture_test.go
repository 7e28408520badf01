package picture

import (
	"bytes"
	"path/filepath"
	"testing"

	"buildsys/internal/golden"
)

// TestDraw: text in its place and colour, also behind wide characters, safe in XML, and without the
// empty rows at the end.
func TestDraw(t *testing.T) {
	var b bytes.Buffer
	text := "\x1b[1mtitle\x1b[m  rest\n\x1b[31m✗ 漢字\x1b[m <b>&\n\x1b[2mfaint\x1b[m\n   \n\n"
	if err := Draw(&b, text, 20); err != nil {
		t.Fatal(err)
	}
	golden.Equal(t, filepath.Join("testdata", "draw.svg"), b.Bytes())
}
