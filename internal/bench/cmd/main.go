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

	"buildsys/internal/bench"
	"buildsys/internal/figures"
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
	out := figures.Output{Script: "script/bench"}
	out.Flags(flag.CommandLine)
	var oneSolve string
	var sized int
	flag.StringVar(&oneSolve, "one-solve", "",
		"build the tree in the working directory as one solve from this `image`, and do nothing else")
	flag.IntVar(&sized, "make-sized", 0,
		"make and build a tree of this `number` of packages in the working directory, "+
			"and do nothing else")
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
	report, all, err := bench.Run(ctx, o)
	if err != nil {
		fmt.Print(report) // what there is; no document is changed
		return err
	}
	return out.Write(ctx, os.Stdout, report, all)
}

// compiled returns a flag's function that sets a regular expression.
func compiled(to **regexp.Regexp) func(string) error {
	return func(value string) (err error) {
		*to, err = regexp.Compile(value)
		return err
	}
}
