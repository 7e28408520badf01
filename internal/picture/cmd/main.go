// Command cmd draws the text on standard input as an SVG; script/picture runs it.
package main

import (
	"fmt"
	"io"
	"os"
	"strconv"

	"buildsys/internal/picture"
)

// maxText is the longest text that is drawn.
const maxText = 1 << 20

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "picture:", err)
		os.Exit(1)
	}
}

func run() error {
	columns := 100
	if len(os.Args) > 1 {
		n, err := strconv.Atoi(os.Args[1])
		if err != nil || n < 1 || n > 500 {
			return fmt.Errorf("%q is not a number of columns", os.Args[1])
		}
		columns = n
	}
	text, err := io.ReadAll(io.LimitReader(os.Stdin, maxText))
	if err != nil {
		return err
	}
	return picture.Draw(os.Stdout, string(text), columns)
}
