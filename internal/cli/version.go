// version: says what this program is and what determines its results.

package cli

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"

	"github.com/spf13/cobra"

	"buildsys"
	"buildsys/internal/sdk"
)

// version is what "buildsys version" shows.
type version struct {
	Version string `json:"version"` // of the module: "v0.2.0", or "(devel)"
	Commit  string `json:"commit"`  // empty if the program was not built in a checkout
	Time    string `json:"time"`    // of the commit
	Dirty   bool   `json:"dirty"`   // the checkout had changes
	Go      string `json:"go"`
	System  string `json:"system"` // "linux/amd64"
	// BuildKit is the version of the BuildKit client in the program.
	BuildKit string `json:"buildkit"`
	// Recipe is the digest of the Dockerfile, scripts and macros in the program.
	Recipe string `json:"recipe"`
}

// thisVersion returns the version of this program.
var thisVersion = sync.OnceValue(findVersion)

func findVersion() version {
	v := version{Version: "(devel)", Go: runtime.Version(),
		System: runtime.GOOS + "/" + runtime.GOARCH}
	v.Recipe, _ = sdk.Digest(buildsys.Recipe, ".") // it is in the program
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Version = cmp.Or(info.Main.Version, v.Version)
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value
		case "vcs.time":
			v.Time = s.Value
		case "vcs.modified":
			v.Dirty = s.Value == "true"
		}
	}
	i := slices.IndexFunc(info.Deps, func(m *debug.Module) bool {
		return m.Path == "github.com/moby/buildkit"
	})
	if i >= 0 {
		v.BuildKit = info.Deps[i].Version
	}
	return v
}

// String returns the version in a line: "v0.2.0 (1a2b3c4d5e6f, with changes)".
func (v version) String() string {
	if v.Commit == "" {
		return v.Version
	}
	changes := ""
	if v.Dirty {
		changes = ", with changes"
	}
	return fmt.Sprintf("%s (%.12s%s)", v.Version, v.Commit, changes)
}

func newVersionCommand(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version of buildsys, and of what it builds with",
		Args:  usage(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			v := thisVersion()
			if asJSON {
				return a.printJSON("version", v)
			}
			_, err := fmt.Fprintf(a.sys.Stdout, "buildsys %s\ngo       %s %s\nbuildkit %s\nrecipe   %.12s\n",
				v, v.Go, v.System, v.BuildKit, v.Recipe)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}
