// outdated: which packages have newer versions upstream.

package cli

import (
	"context"
	"errors"
	"slices"

	"github.com/spf13/cobra"

	"buildsys/internal/build"
	"buildsys/internal/errkind"
)

const outdatedHelp = `Asks the page that releases-url of a package names, an index of a directory, the
releases or tags of a forge or any page with links, which versions there are, and
lists the packages of which there is a newer one, and those of which that is not
known, with the reason. With names it lists these, whatever is known. Versions
are found by the names of the package's sources, and ordered as rpm does.
Pre-releases (rc, alpha, beta, a tilde) count only if the tree has one.

Packages with neither external-files nor releases-url are left out. The exit
status is 0; with --exit-code it is 1 if a package is outdated, and 4 if none is,
but of some it is not known.

With --json it prints {"format": 1, "kind": "outdated", "packages": [{"package",
"current", "newest", "status": "current", "outdated" or "unknown", "releases_url",
"why"}...]} of all packages that were asked about.`

func newOutdatedCommand(a *app) *cobra.Command {
	var asJSON, status bool
	cmd := &cobra.Command{
		Use:   "outdated [NAME...]",
		Short: "List packages of which upstream has newer versions",
		Long:  outdatedHelp,
		RunE: func(cmd *cobra.Command, names []string) error {
			all, err := a.outdated(cmd.Context(), names)
			if err != nil {
				return err
			}
			if asJSON {
				err = a.printJSON("outdated", map[string]any{"packages": all})
			} else {
				a.writeReleases(all, len(names) > 0)
			}
			if err == nil && status {
				err = outdatedStatus(all)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what is known as JSON")
	cmd.Flags().BoolVar(&status, "exit-code", false, "exit with 1 if a package is outdated")
	return cmd
}

func (a *app) outdated(ctx context.Context, names []string) ([]build.Release, error) {
	_, s, err := a.resolve()
	if err != nil {
		return nil, err
	}
	var packages []string
	if len(names) > 0 {
		ws, err := s.Load()
		if err != nil {
			return nil, err
		}
		if packages, err = namedPackages(ws, names); err != nil {
			return nil, err
		}
		slices.Sort(packages)
		packages = slices.Compact(packages)
	}
	return s.Outdated(ctx, packages)
}

// writeReleases lists packages: all, or only those that somebody has to look at.
func (a *app) writeReleases(all []build.Release, whole bool) {
	outdated, unknown := 0, 0
	for _, r := range all {
		switch r.Status {
		case build.Outdated:
			outdated++
			printf(a.sys.Stdout, "%s %s → %s (%s)\n", r.Package, r.Current, r.Newest, r.URL)
		case build.Unknown:
			unknown++
			printf(a.sys.Stdout, "%s %s → ? %s\n", r.Package, orDash(r.Current), r.Why)
		default:
			if whole {
				printf(a.sys.Stdout, "%s %s\n", r.Package, r.Current)
			}
		}
	}
	printf(a.sys.Stderr, "outdated: %s asked about, %d outdated, %d unknown\n",
		count(len(all), "package"), outdated, unknown)
}

var errUnknown = shownError{errkind.BadEnvironment(errors.New("not all versions are known"))}

func outdatedStatus(all []build.Release) error {
	has := func(status string) bool {
		return slices.ContainsFunc(all, func(r build.Release) bool { return r.Status == status })
	}
	switch {
	case has(build.Outdated):
		return commandError{differentStatus}
	case has(build.Unknown):
		return errUnknown
	}
	return nil
}
