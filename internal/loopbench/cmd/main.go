// Command cmd times what a person waits for who changes the sample OS; script/bench-loop runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"

	"buildsys/internal/figures"
	"buildsys/internal/loopbench"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-loop:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	o := loopbench.Options{Log: os.Stderr}
	out := figures.Output{Script: "script/bench-loop"}
	out.Flags(flag.CommandLine)
	flag.StringVar(&o.Checkout, "checkout", "", "the `repository` whose last commit is built")
	flag.StringVar(&o.Buildsys, "buildsys", "", "the buildsys `program`")
	flag.StringVar(&o.Lookaside, "lookaside", "", "`directory` that has the sources")
	flag.StringVar(&o.Work, "work", "", "`directory` to work in; it is emptied")
	flag.IntVar(&o.Rounds, "rounds", 3, "repetitions")
	flag.Func("cases", "only cases of the image whose name matches the `regexp`", compiled(&o.Cases))
	flag.Func("packages", "only packages whose name matches the `regexp`", compiled(&o.Packages))
	flag.Parse()
	if o.Checkout == "" || o.Buildsys == "" || o.Work == "" {
		return errors.New("needs -checkout, -buildsys and -work; use script/bench-loop")
	}
	r, err := loopbench.Run(ctx, o)
	if err != nil {
		fmt.Print(r.Report()) // what there is; no document is changed
		return err
	}
	return out.Write(ctx, os.Stdout, r.Report(), r.Figures())
}

// compiled returns a flag's function that sets a regular expression.
func compiled(to **regexp.Regexp) func(string) error {
	return func(value string) (err error) {
		*to, err = regexp.Compile(value)
		return err
	}
}
