// html: a run as one page without any request to elsewhere. It can be read without its script,
// which only sorts, filters and opens.

package report

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
)

//go:embed page.html
var pageText string

//go:embed page.css
var pageStyle string

//go:embed page.js
var pageScript string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// security lets a browser run only the script and the style of the page, and fetch nothing.
var security = fmt.Sprintf("default-src 'none'; style-src '%s'; script-src '%s'; img-src data:; "+
	"base-uri 'none'; form-action 'none'", sourceOf(pageStyle), sourceOf(pageScript))

func sourceOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// HTML writes a page about a run, compared with an earlier one unless that is nil.
func HTML(w io.Writer, m, earlier *Model) error {
	p := newPage(m)
	p.Security = security
	p.Style, p.Script = template.CSS(pageStyle), template.JS(pageScript)
	if earlier != nil {
		p.Compare = compare(m, earlier)
		p.Compare.Parts = m.Parts
	}
	return pageTemplate.Execute(w, p)
}
