// doctor: checks the surroundings of a build.

package cli

import (
	"github.com/spf13/cobra"

	"buildsys/internal/doctor"
	"buildsys/internal/errkind"
)

func newDoctorCommand(a *app) *cobra.Command {
	var asJSON, strict, untrusted bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check the engine, disks, memory, servers and the clock before a build does",
		Long: `Checks what a build needs: the engine, its version, storage driver and
directory, free space and inodes, memory and processors within their control
groups, the SDK image, lookaside caches, registries, the clock, locks on files,
and which proxies and authorities count. It shows what it finds and, if
something is wrong, what to do.

With --untrusted it also says whether this machine is fit to build what a
stranger has sent, such as a pull request, and what is missing.

It exits with 4 if a build cannot succeed, or with --untrusted should not be
started, with --strict also for warnings. Notes never count: a healthy machine
may have them.
With --json it prints {"format": 1, "kind": "doctor", "status": "ok|warning|failure",
"checks": [{"name", "status", "detail", "fix"}...]}.`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, s, err := a.resolve()
			if err != nil {
				return err
			}
			request := s.Examine(cmd.Context())
			report := doctor.Run(cmd.Context(), request)
			if untrusted {
				facts := s.Strangers(a.sys.Environ())
				facts.Engines = append(request.Nodes, request.Engine)
				report.Checks = append(report.Checks, facts.Checks()...)
			}
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
	cmd.Flags().BoolVar(&untrusted, "untrusted", false,
		"check also whether this machine is fit to build strangers' trees")
	a.addReleaseFlag(cmd.Flags())
	cmd.Flags().BoolVar(&strict, "strict", false, "fail for warnings too")
	return cmd
}

func (a *app) printDoctor(report doctor.Report, asJSON bool) error {
	if !asJSON {
		return report.WriteText(a.sys.Stdout)
	}
	return a.printJSON("doctor", struct {
		Status doctor.Status  `json:"status"`
		Checks []doctor.Check `json:"checks"`
	}{report.Worst(), report.Checks})
}
