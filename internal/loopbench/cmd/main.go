// Command cmd times what a person waits for who changes the sample OS; script/bench-loop runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"

	"buildsys/internal/buildtest"
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
	var history string
	flag.StringVar(&o.Checkout, "checkout", "", "the `repository` whose last commit is built")
	flag.StringVar(&o.Buildsys, "buildsys", "", "the buildsys `program`")
	flag.StringVar(&o.Lookaside, "lookaside", "", "`directory` that has the sources")
	flag.StringVar(&o.Work, "work", "", "`directory` to work in; it is emptied")
	flag.StringVar(&history, "history", "", "`file` that gets the figures")
	flag.IntVar(&o.Rounds, "rounds", 3, "repetitions")
	flag.Func("cases", "only cases of the image whose name matches the `regexp`", compiled(&o.Cases))
	flag.Func("packages", "only packages whose name matches the `regexp`", compiled(&o.Packages))
	flag.Parse()
	if o.Checkout == "" || o.Buildsys == "" || o.Work == "" {
		return errors.New("needs -checkout, -buildsys and -work; use script/bench-loop")
	}
	r, err := loopbench.Run(ctx, o)
	fmt.Print(r.Report()) // what there is, if it was stopped
	if err != nil || history == "" {
		return err
	}
	return keep(ctx, o.Checkout, history, r)
}

// keep adds the figures to the file, and prints what is worse than before.
func keep(ctx context.Context, checkout, history string, r loopbench.Results) error {
	commit, err := exec.CommandContext(ctx, "git", "-C", checkout, "rev-parse", "--short=8",
		"HEAD").Output()
	if err != nil {
		return err
	}
	all, quiet := r.Figures()
	changes, err := figures.Append(history, figures.Run{Date: time.Now(),
		Commit: strings.TrimSpace(string(commit)), Machine: buildtest.Hardware(), Quiet: quiet,
		Figures: all})
	if err != nil {
		return err
	}
	for _, c := range changes {
		if c.Worse() {
			fmt.Printf("\nWORSE: %v\n", c)
		}
	}
	return nil
}

// compiled returns a flag's function that sets a regular expression.
func compiled(to **regexp.Regexp) func(string) error {
	return func(value string) (err error) {
		*to, err = regexp.Compile(value)
		return err
	}
}
