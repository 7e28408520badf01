// document: the JSON documents that commands print, all in one envelope.

package cli

import (
	"bytes"
	"encoding/json"
	"fmt"

	"buildsys/internal/safetext"
)

// documentFormat is the version of the documents. It changes when a field is removed or gets
// another meaning; new fields may come at any time.
const documentFormat = 1

// printJSON writes one indented JSON document to standard output. v is an object; "format" and
// "kind" come before its fields.
func (a *app) printJSON(kind string, v any) error {
	var fields bytes.Buffer
	out := json.NewEncoder(&fields)
	out.SetEscapeHTML(false)
	if err := out.Encode(v); err != nil {
		return err
	}
	rest, ok := bytes.CutPrefix(bytes.TrimSpace(fields.Bytes()), []byte("{"))
	if !ok {
		return fmt.Errorf("the document %s is not an object", kind)
	}
	whole := fmt.Appendf(nil, `{"format":%d,"kind":%q`, documentFormat, kind)
	if string(rest) != "}" {
		whole = append(whole, ',')
	}
	var text bytes.Buffer
	if err := json.Indent(&text, append(whole, rest...), "", "  "); err != nil {
		return err
	}
	text.WriteByte('\n')
	_, err := a.sys.Stdout.Write(safetext.JSON(text.Bytes()))
	return err
}
