// verify: holds an image against what is stated of it, and makes it again.

package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/spf13/cobra"

	"buildsys/internal/build"
	"buildsys/internal/errkind"
	"buildsys/internal/provenance"
)

const verifyHelp = `Checks an image, of anybody, against the statement beside it (*.intoto.jsonl): who
has signed it, that all files have the bytes that it says and none is missing or
added, that the statements of its steps are those that it was made from, that the
bill of materials has the packages of the image and each of its files, and that
the root file system matches its hash tree. What is wrong is named, by file,
partition, step or package.

IMAGE is a directory with an image and its papers, a file in it, or a variant,
whose newest image it is then. With --key the statement has to be signed with
that key. Without, nobody says who made it: a warning says so.

With --rebuild the image is then made again from the commit that is stated, in a
clone of its own, with a store of its own and past every cache, and all outputs
are compared. The commit has to be in the repository around the tree, and the
engine has to have the SDK image.

With --json it prints {"format": 1, "kind": "verified", ...} with what was checked,
what is wrong, "not_checked", what nothing says how it should be, and "made", the
files that no package has as they are: those that the step of the image makes,
changes or takes away (docs/verify.md).

The exit status says what is wrong, the first of these if there are several:
  10  signature: it is not of the key, or there is none
  11  statement: it cannot be read, or is not about this image
  12  step: the statement of a step is not the one that the image's names
  13  files: one was changed, is missing, or is too many
  14  sbom: a bill of materials does not say what is in the image
  15  contents: the image contradicts itself
  16  rebuild: it comes out otherwise`

// verifyStatus are the exit statuses of kinds of faults.
var verifyStatus = map[provenance.Kind]int{
	provenance.BadSignature: 10,
	provenance.BadStatement: 11,
	provenance.BadStep:      12,
	provenance.BadFiles:     13,
	provenance.BadSBOM:      14,
	provenance.BadContents:  15,
	provenance.BadRebuild:   16,
}

// verifyOptions are the flags of the command.
type verifyOptions struct {
	key     string
	rebuild bool
	asJSON  bool
}

func newVerifyCommand(a *app) *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:   "verify [IMAGE|VARIANT]",
		Short: "Check an image against what is stated of it, or make it again",
		Long:  verifyHelp,
		Args:  usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.verify(cmd.Context(), args, o)
		},
	}
	cmd.Flags().StringVar(&o.key, "key", "", "public key (PEM) that must have signed the statement")
	cmd.Flags().BoolVar(&o.rebuild, "rebuild", false, "make the image again and compare")
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print the result as JSON")
	return cmd
}

func (a *app) verify(ctx context.Context, args []string, o verifyOptions) error {
	dir, file, of, err := a.imageToVerify(args)
	if err != nil {
		return err
	}
	var by dsse.Verifier
	if o.key != "" {
		if by, err = provenance.ReadPublicKey(a.path(o.key)); err != nil {
			return err
		}
	} else {
		a.warn("who made the image is not checked: name the key that must have signed with --key")
	}
	v, err := build.VerifyImage(ctx, dir, file, by)
	if err == nil && of.Variant != "" {
		err = v.Of(of.Variant, of.Arch)
	}
	if err == nil && o.rebuild {
		err = a.rebuild(ctx, v)
		if err == nil {
			v.Checked = append(v.Checked, fmt.Sprintf("made again from commit %.12s, all %d outputs and "+
				"%d steps come out with the same bytes", v.Paper.Image.Tree.Commit, len(v.Paper.Image.Subjects),
				len(v.Paper.Steps)))
		}
	}
	faults, known := err.(provenance.Faults)
	if err != nil && !known {
		return err
	}
	if o.asJSON {
		return a.printVerified(v, faults, err)
	}
	for _, line := range v.Checked {
		fmt.Fprintln(a.sys.Stdout, "good: "+line)
	}
	for _, line := range v.Missed {
		a.warn("not checked: " + line)
	}
	if err == nil {
		fmt.Fprintf(a.sys.Stdout, "%s is what is stated of it\n", printable(v.Paper.Image.Step))
	}
	return err
}

// printVerified prints the result as a document.
func (a *app) printVerified(v build.Verified, faults provenance.Faults, err error) error {
	list := []provenance.Fault(faults)
	if list == nil {
		list = []provenance.Fault{}
	}
	checked := v.Checked
	if checked == nil {
		checked = []string{}
	}
	doc := map[string]any{"directory": v.Dir, "checked": checked, "faults": list,
		"made": append([]string{}, v.Made...), "not_checked": append([]string{}, v.Missed...)}
	if v.Paper != nil {
		c := v.Paper.Image
		doc["statement"], doc["key"] = v.Paper.Name, v.Paper.KeyID
		doc["step"], doc["commit"], doc["release"] = c.Step, c.Tree.Commit, c.Release
	}
	if e := a.printJSON("verified", doc); e != nil {
		return e
	}
	if err != nil {
		return shownError{err}
	}
	return nil
}

// imageToVerify returns the directory of an image, and the file in it that was named, or "". If a
// variant was named, of has it and the architecture.
func (a *app) imageToVerify(args []string) (dir, file string, of build.Config, err error) {
	if len(args) > 0 {
		path := a.path(args[0])
		info, err := os.Stat(path)
		switch {
		case err == nil && info.IsDir() && !a.isVariant(args[0]):
			return path, "", of, nil
		case err == nil && !info.IsDir(), err != nil && a.looksLikeFile(args[0]):
			return filepath.Dir(path), filepath.Base(path), of, errkind.BadUsage(err)
		}
	}
	of, session, err := a.resolveVariant(args)
	if err != nil {
		return "", "", of, err
	}
	system, _, err := session.NewestImage()
	if err != nil {
		return "", "", of, err
	}
	real, err := filepath.EvalSymlinks(filepath.Dir(system))
	return real, "", of, errkind.BadEnvironment(err)
}

// isVariant reports whether a name, which a directory has as well, is that of a variant.
func (a *app) isVariant(name string) bool {
	if filepath.Base(name) != name {
		return false
	}
	root, err := a.caller().Root()
	if err != nil {
		return false
	}
	info, err := os.Stat(filepath.Join(root, "variants", name))
	return err == nil && info.IsDir()
}

// rebuild makes an image again from the commit that is stated of it.
func (a *app) rebuild(ctx context.Context, v build.Verified) (err error) {
	root, err := a.caller().Root()
	if err != nil {
		return err
	}
	claim := v.Paper.Image
	place, err := build.OpenWorkplace(ctx, root, claim)
	if err != nil {
		return err
	}
	defer func() {
		if _, differs := err.(provenance.Faults); differs {
			a.warn("what was made again is in " + place.Root)
			return
		}
		if e := place.Close(); e != nil && err == nil {
			err = errkind.BadEnvironment(e)
		}
	}()
	caller := a.caller()
	caller.Release, caller.TrustTree = claim.Release, false
	told, set := caller.Flag, map[string]string{"root-dir": place.Root, "arch": claim.Arch,
		"variant": claim.Variant, "version-image": claim.Arg("VERSION_ID"),
		"version-build": claim.Arg("BUILD_ID")}
	caller.Flag = func(name string) (string, bool) {
		if value, ok := set[name]; ok {
			return value, true
		}
		return told(name)
	}
	c, err := caller.Resolve()
	if err != nil {
		return err
	}
	return a.session(c.In(place, claim)).Rebuild(ctx, claim, v.Paper.Steps)
}
