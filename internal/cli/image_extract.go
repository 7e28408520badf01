// image cat and image extract: take files out of an image.

package cli

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"buildsys/internal/bytesize"
	"buildsys/internal/contents"
	"buildsys/internal/errkind"
	"buildsys/internal/image"
	"buildsys/internal/safetext"
)

func newImageCatCommand(a *app) *cobra.Command {
	var partition string
	var force bool
	cmd := &cobra.Command{
		Use:   "cat IMAGE:/PATH",
		Short: "Write a file of an image to standard output",
		Long: `Writes the bytes of a file to standard output. To a terminal it writes only text,
without control characters; with --force the bytes as they are.`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := a.openPartition(cmd.Context(), args[0], partition)
			if err != nil {
				return err
			}
			defer o.Close()
			if o.inside == "" {
				return errkind.Usagef("name a file in the image: %s:/PATH", args[0])
			}
			file, err := o.at(true)
			if err != nil {
				return err
			}
			if file.Type() != image.ModeRegular {
				return errkind.Usagef("%s is %s", file.Path, contents.TypeName(file.Mode))
			}
			out := a.sys.terminal.stdout
			if !force && isTerminal(out) {
				text := &onlyText{to: safetext.NewWriter(out), name: file.Path}
				if err := o.part.Write(cmd.Context(), text, file.Inode); err != nil {
					return orCause(cmd.Context(), err)
				}
				return text.end()
			}
			return orCause(cmd.Context(), o.part.Write(cmd.Context(), out, file.Inode))
		},
	}
	addPartitionFlag(cmd, &partition)
	cmd.Flags().BoolVarP(&force, "force", "f", false, "write bytes to a terminal as they are")
	return cmd
}

// onlyText writes text to a terminal and refuses anything else.
type onlyText struct {
	to   *safetext.Writer
	name string
	cut  []byte // of a character that has no end yet
}

func (t *onlyText) Write(b []byte) (int, error) {
	text := append(t.cut, b...)
	end := len(text)
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if utf8.RuneStart(text[len(text)-n]) && !utf8.FullRune(text[len(text)-n:]) {
			end = len(text) - n
		}
	}
	t.cut = bytes.Clone(text[end:])
	if !utf8.Valid(text[:end]) || bytes.IndexByte(text[:end], 0) >= 0 {
		return 0, t.refused()
	}
	if _, err := t.to.Write(text[:end]); err != nil {
		return 0, err
	}
	return len(b), nil
}

// end refuses text that ends within a character.
func (t *onlyText) end() error {
	if len(t.cut) > 0 {
		return t.refused()
	}
	return t.to.Flush()
}

func (t *onlyText) refused() error {
	return errkind.Usagef("%s is not text: write it to a file or a pipe, or see it with --force",
		t.name)
}

func newImageExtractCommand(a *app) *cobra.Command {
	var partition string
	var force bool
	cmd := &cobra.Command{
		Use:   "extract IMAGE[:/PATH] DIRECTORY",
		Short: "Copy files of an image into a directory",
		Long: `Copies a file of an image into a directory, or the contents of a directory with all
below it; without a path everything. The directory is made if it is missing, and
nothing is written outside of it. Files get the caller as owner, the modes of the
image without set-user-ID, set-group-ID and sticky bits, and its dates. Symbolic
links are made as they are. Devices, FIFOs and sockets, extended attributes, and
that files are hard links, are lost, which warnings say. Files that exist are not
replaced without --force.`,
		Args: usage(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := a.openPartition(cmd.Context(), args[0], partition)
			if err != nil {
				return err
			}
			defer o.Close()
			from, err := o.at(false)
			if err != nil {
				return err
			}
			to := a.path(args[1])
			if _, err := a.throughNoLink(to); err != nil {
				return err
			}
			done, err := o.part.Extract(cmd.Context(), contents.Extraction{From: from,
				To: to, Force: force, Warn: func(text string) { a.warn(safetext.Line(text)) }})
			if err != nil {
				return orCause(cmd.Context(), err)
			}
			fmt.Fprintf(a.sys.Stderr, "%s, %s and %s, %s\n", count(done.Files, "file"),
				countOf(done.Directories, "directory", "directories"), count(done.Links, "link"),
				bytesize.Format(done.Bytes))
			return nil
		},
	}
	addPartitionFlag(cmd, &partition)
	cmd.Flags().BoolVarP(&force, "force", "f", false, "replace files that exist")
	return cmd
}

func countOf(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
