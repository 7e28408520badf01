// Command releaser makes the files of a release of buildsys, and verifies them: docs/releases.md
// has its use. It is a module of its own, so that what it stands on (nfpm, libraries of image, SBOM
// and provenance formats) is neither in the go.mod of buildsys nor in its binary; tool directives
// would be in the former.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("script/release", flag.ContinueOnError)
	root := flags.String("root", ".", "the checkout")
	version := flags.String("version", "", "version to release; default: the tag of the commit")
	output := flags.String("output", "", "new directory for the files; default: "+
		"build/release/VERSION in the checkout")
	key := flags.String("key", os.Getenv("RELEASE_KEY"), "file with an Ed25519 private key (PEM) "+
		"that signs the provenance; default: RELEASE_KEY")
	check := flags.String("verify", "", "verify the files of a release in a directory instead")
	public := flags.String("public-key", "", "with --verify: file with the public key (PEM)")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return errors.New("see script/release --help")
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q: see script/release --help", flags.Arg(0))
	case *check != "":
		return verify(ctx, out, *check, *public)
	}
	dir, err := filepath.Abs(*root)
	if err != nil {
		return err
	}
	src, err := examine(ctx, dir, *version)
	if err != nil {
		return err
	}
	r := &release{source: src, report: out}
	if r.out = *output; r.out == "" {
		r.out = filepath.Join(dir, "build", "release", src.version)
	}
	if *key != "" {
		if r.signer, err = readKey(*key); err != nil {
			return err
		}
	}
	return r.make(ctx)
}
