// Package bytesize formats and parses numbers of bytes in powers of 1024, such as "1.5 GiB" and
// "20G", for messages and flags.
package bytesize

import (
	"fmt"
	"strconv"
	"strings"
)

const units = "KMGT"

// Format returns n in the largest unit of which there is at least one: "1 byte", "1.5 KiB", "16
// GiB". It truncates after the first decimal, so it never overstates free space.
func Format(n int64) string {
	if n == 1 {
		return "1 byte"
	}
	if n < 1024 {
		return fmt.Sprintf("%d bytes", n)
	}
	unit := 0
	for unit < len(units)-1 && n>>(10*(unit+2)) > 0 {
		unit++
	}
	shift := 10 * (unit + 1)
	whole, rest := n>>shift, n&(1<<shift-1)
	text := strconv.FormatInt(whole, 10)
	if tenth := rest * 10 >> shift; tenth > 0 {
		text += fmt.Sprintf(".%d", tenth)
	}
	return fmt.Sprintf("%s %ciB", text, units[unit])
}

// Parse reads a whole number, optionally followed by K, M, G or T.
func Parse(text string) (int64, error) {
	shift, digits := 0, text
	if n := len(text); n > 0 {
		if i := strings.IndexByte(units, text[n-1]); i >= 0 {
			shift, digits = 10*(i+1), text[:n-1]
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n<<shift>>shift != n {
		return 0, fmt.Errorf("%q is not a size: write a whole number, optionally followed by "+
			"K, M, G or T, as in 20G", text)
	}
	return n << shift, nil
}
