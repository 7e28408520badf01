// schema: prints the JSON Schemas of manifests and of the documents that commands print.

package cli

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"buildsys"
)

const schemaHelp = `Prints a JSON Schema: of a manifest, for editors and other checks of TOML files, or
of a document that commands print with --json. Without a name it lists them. To
have an editor with taplo complete and check manifests, put the schemas into a
file and name that in the manifest's first line:

  #:schema ../../package.schema.json

"buildsys lint" finds more: what one manifest alone does not show.`

func newSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema [NAME]",
		Short: "Print the JSON Schema of a manifest or a document",
		Long:  schemaHelp,
		Args:  usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			files, err := schemaFiles()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				for _, name := range slices.Sorted(maps.Keys(files)) {
					fmt.Fprintln(cmd.OutOrStdout(), name)
				}
				return nil
			}
			file, ok := files[args[0]]
			if !ok {
				return noSuch("schema", args[0], slices.Sorted(maps.Keys(files)))
			}
			text, err := buildsys.Schemas.ReadFile(file)
			if err == nil {
				_, err = cmd.OutOrStdout().Write(text)
			}
			return err
		},
		ValidArgsFunction: func(_ *cobra.Command, given []string, _ string) ([]string,
			cobra.ShellCompDirective) {
			if len(given) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			files, _ := schemaFiles()
			return slices.Sorted(maps.Keys(files)), cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// schemaFiles returns the schemas in the program: their files by name, "package" or "plan".
func schemaFiles() (map[string]string, error) {
	files := map[string]string{}
	err := fs.WalkDir(buildsys.Schemas, ".", func(file string, e fs.DirEntry, err error) error {
		if name, ok := strings.CutSuffix(path.Base(file), ".schema.json"); ok && !e.IsDir() {
			files[name] = file
		}
		return err
	})
	return files, err
}
