// doctor: checks the surroundings of a build.

package cli

import (
	"github.com/spf13/cobra"

	"buildsys/internal/doctor"
	"buildsys/internal/errkind"
)

func newDoctorCommand(a *app) *cobra.Command {
	var asJSON, strict bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check the engine, disks, memory, servers and the clock before a build does",
		Long: `Checks what a build needs: the engine, its version, storage driver and
directory, free space and inodes, memory and processors within their control
groups, the SDK image, lookaside caches, registries, the clock. It shows what
it finds and, if something is wrong, what to do.

It exits with 4 if a build cannot succeed, with --strict also for warnings.
With --json it prints {"format": 1, "status": "ok|warning|failure",
"checks": [{"name", "status", "detail", "fix"}...]}.

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
				return shownError{errkind.Environmentf("the doctor found problems")}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	a.addReleaseFlag(cmd.Flags())
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
