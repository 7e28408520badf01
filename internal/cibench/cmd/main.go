// Command cmd times CI builds with and without caches and prints the table; script/bench-ci runs
// it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"buildsys/internal/cibench"
	"buildsys/internal/figures"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-ci:", err)
		os.Exit(1)
	}
}

// The changes that are measured. libcap is in the middle of the build order, and one package needs
// it.
var (
	middle = cibench.Change{What: "the release of libcap, which chrony is built with",
		File: "packages/libcap/libcap.spec", Old: "\nRelease: 1\n", New: "\nRelease: 2\n"}
	first = cibench.Change{What: "a text that skiffd prints (sources/skiff, of the package os)",
		File: "sources/skiff/cmd/skiffd/main.go", Old: "usage: skiffd boot|power",
		New: "usage: skiffd boot | power"}
)

func run(ctx context.Context) error {
	o := cibench.Options{Log: os.Stderr, Middle: middle, FirstHand: first}
	out := figures.Output{Script: "script/bench-ci"}
	out.Flags(flag.CommandLine)
	var packages, columns string
	var render bool
	flag.StringVar(&o.Checkout, "checkout", "", "the `repository` whose last commit is built")
	flag.StringVar(&o.Buildsys, "buildsys", "", "the buildsys `program`")
	flag.StringVar(&o.Docker, "docker", "/usr/bin/docker",
		"a docker `command` that builds without a plugin")
	flag.StringVar(&o.SDK, "sdk", "", "the SDK image's root file system, a `tar`")
	flag.StringVar(&o.Lookaside, "lookaside", "", "`directory` that has the sources")
	flag.StringVar(&o.Results, "results", "",
		"JSON `file` for the results; logs are written beside it")
	flag.StringVar(&o.Arch, "arch", "x86_64", "`architecture` to build for")
	flag.StringVar(&o.Variant, "variant", "qemu-dev", "variant to build")
	flag.StringVar(&packages, "packages", "",
		"build these packages, separated by commas, instead of the image: for a try")
	flag.StringVar(&columns, "columns", "", "measure only `these` of layers and buildsys again")
	flag.IntVar(&o.Weight, "weight", 0,
		"cpu.shares of all that is measured, together (control groups v1)")
	flag.BoolVar(&render, "render", false, "measure nothing: make the table from -results")
	flag.Parse()
	if packages != "" {
		o.Packages = strings.Split(packages, ",")
	}
	if columns != "" {
		o.Columns = strings.Split(columns, ",")
	}
	var r cibench.Results
	var err error
	if render {
		r, err = cibench.Load(o.Results)
	} else {
		if o.Checkout == "" || o.Buildsys == "" || o.SDK == "" {
			return errors.New("needs -checkout, -buildsys and -sdk; use script/bench-ci")
		}
		r, err = cibench.Run(ctx, o)
	}
	if err != nil {
		if len(r.Layers) > 0 {
			fmt.Print(r.Report()) // print what there is; no document is changed
		}
		return err
	}
	return out.Write(ctx, os.Stdout, r.Report(), figures.Run{})
}
