// Command cmd compares buildsys with its peers and prints the figures; script/bench runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"strings"

	"buildsys/internal/bench"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	o := bench.Options{Log: os.Stderr}
	var oneSolve, document string
	var sized int
	flag.StringVar(&oneSolve, "one-solve", "",
		"build the tree in the working directory as one solve from this `image`, and do nothing else")
	flag.IntVar(&sized, "make-sized", 0,
		"make and build a tree of this `number` of packages in the working directory, "+
			"and do nothing else")
	flag.StringVar(&document, "document", "",
		"Markdown `file` that gets the figures instead of standard output, below its line "+marker)
	flag.StringVar(&o.Buildsys, "buildsys", "", "the buildsys `program`")
	flag.StringVar(&o.Tools, "tools", "", "`directory` of buildx, buildctl and buildkitd")
	flag.StringVar(&o.Work, "work", "", "`directory` to work in; it is emptied")
	flag.StringVar(&o.Busybox, "busybox", "/bin/busybox", "a static busybox")
	flag.StringVar(&o.BuildKitVersion, "buildkit-version", "", "`version` of buildctl and buildkitd")
	flag.StringVar(&o.BuildxVersion, "buildx-version", "", "`version` of buildx")
	flag.Func("cases", "only cases whose title matches the `regexp`; a case builds on what "+
		"the one before has left", compiled(&o.Cases))
	flag.Func("peers", "only peers whose name matches the `regexp`", compiled(&o.Peers))
	flag.IntVar(&o.Jobs, "jobs", 8, "how many packages buildsys, make and ninja build at once")
	flag.IntVar(&o.Rounds, "rounds", 3, "repetitions")
	flag.BoolVar(&o.Quick, "quick", false, "fewer cases")
	flag.BoolVar(&o.BakeOnEngine, "bake-on-engine", false,
		"run bake on the Docker engine too; it has crashed Docker 20.10")
	flag.Parse()
	dir, err := os.Getwd()
	switch {
	case err != nil:
		return err
	case oneSolve != "":
		return bench.OneSolve(ctx, dir, oneSolve, os.Stdout)
	case sized > 0:
		return bench.MakeSized(dir, sized, os.Stderr)
	}
	if o.Buildsys == "" || o.Work == "" {
		return errors.New("needs -buildsys and -work; use script/bench")
	}
	if o.Self, err = os.Executable(); err != nil {
		return err
	}
	report, err := bench.Run(ctx, o)
	if err == nil && document != "" {
		return replaceBelow(document, report)
	}
	fmt.Print(report) // of a run that was stopped, what there is; no document is changed
	return err
}

// compiled returns a flag's function that sets a regular expression.
func compiled(to **regexp.Regexp) func(string) error {
	return func(value string) (err error) {
		*to, err = regexp.Compile(value)
		return err
	}
}

// marker is the last line of a document that people write.
const marker = "<!-- figures: script/bench --write -->"

// replaceBelow replaces everything below the marker with text.
func replaceBelow(path, text string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	above, _, found := strings.Cut(string(data), marker+"\n")
	if !found {
		return fmt.Errorf("%s has no line %s", path, marker)
	}
	return os.WriteFile(path, []byte(above+marker+"\n\n"+text), 0o644)
}
