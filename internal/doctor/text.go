// Text: a report for people, with one line for each check and one more for its fix.

package doctor

import (
	"bufio"
	"fmt"
	"io"
)

// WriteText writes aligned lines.
func (r Report) WriteText(w io.Writer) error {
	b := bufio.NewWriter(w)
	name := 0
	for _, c := range r.Checks {
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
