// Text: a report for people, with one line for each check and one more for its fix.

package doctor

import (
	"bufio"
	"fmt"
	"io"

	"buildsys/internal/safetext"
)

// WriteText writes aligned lines.
func (r Report) WriteText(w io.Writer) error {
	b := bufio.NewWriter(w)
	name := 0
	for i := range r.Checks {
		c := &r.Checks[i] // servers and engines may say anything
		c.Name, c.Detail, c.Fix = safetext.Line(c.Name), safetext.Line(c.Detail), safetext.Line(c.Fix)
		name = max(name, len(c.Name))
	}
	for _, c := range r.Checks {
		fmt.Fprintf(b, "%-7s  %-*s  %s\n", c.Status, name, c.Name, c.Detail)
		if c.Fix != "" {
			fmt.Fprintf(b, "%-7s  %-*s  -> %s\n", "", name, "", c.Fix)
		}
	}
	return b.Flush()
}
