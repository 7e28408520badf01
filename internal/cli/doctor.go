// doctor: looks at the surroundings of a build.

package cli

import (
	"github.com/spf13/cobra"

	"buildsys/internal/build"
	"buildsys/internal/doctor"
	"buildsys/internal/errkind"
)

func newDoctorCommand(a *app) *cobra.Command {
	var asJSON, strict bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check the engine, disks, memory, servers and the clock before a build does",
		Long: `Looks at what a build needs: the engine, its version and storage driver and what its directory lies on, free space
and inodes, memory and processors as control groups leave them, the SDK image, lookaside caches, registries, the clock.
Says what is the case and, where something is wrong, what to do.

Exits with 4 when a build cannot succeed; warnings do so only with --strict.
With --json the output is {"format": 1, "status": "ok|warning|failure", "checks": [{"name", "status", "detail", "fix"}...]}.

` + exitStatusHelp,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, s, err := a.resolve()
			if err != nil {
				return err
			}
			report := doctor.Run(cmd.Context(), s.Examine(cmd.Context()))
			if err := a.printDoctor(report, asJSON); err != nil {
				return err
			}
			if worst := report.Worst(); worst == doctor.Failure || strict && worst == doctor.Warning {
				return build.ShownError{Err: errkind.Environmentf("the doctor found something")}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	cmd.Flags().BoolVar(&strict, "strict", false, "fail for warnings too")
	return cmd
}

func (a *app) printDoctor(report doctor.Report, asJSON bool) error {
	if !asJSON {
		return report.WriteText(a.sys.Stdout)
	}
	return a.printJSON(struct {
		Format int            `json:"format"`
		Status doctor.Status  `json:"status"`
		Checks []doctor.Check `json:"checks"`
	}{1, report.Worst(), report.Checks})
}
