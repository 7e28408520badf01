// ciexamples_test: the examples for CI services are YAML, and the commands in them can be typed.

package cli

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

var (
	ciCommand    = regexp.MustCompile(`bin/buildsys (.*)`)
	ciExpression = regexp.MustCompile(`\$\{\{.*?\}\}|"\$ARCH"`)
)

func TestCIExamples(t *testing.T) {
	for _, service := range []string{"github", "gitlab"} {
		data, err := os.ReadFile("../../ci/" + service + "/images.yml")
		if err != nil {
			t.Fatal(err)
		}
		var document map[string]any
		if err := yaml.Unmarshal(data, &document); err != nil {
			t.Errorf("%s: %v", service, err)
		}
		commands := ciCommand.FindAllSubmatch(data, -1)
		if len(commands) < 2 {
			t.Errorf("%s: %d commands", service, len(commands))
		}
		for _, m := range commands {
			line := ciExpression.ReplaceAllString(string(m[1]), "x86_64")
			line = strings.TrimSuffix(line, " x86_64") // doctor's flag is an expression
			root := newRootCommand(&System{Getenv: func(string) string { return "" }})
			cmd, rest, err := root.Find(strings.Fields(line))
			if err == nil {
				err = cmd.ParseFlags(rest)
			}
			if err == nil {
				err = cmd.ValidateArgs(cmd.Flags().Args())
			}
			if err != nil {
				t.Errorf("%s: %q: %v", service, line, err)
			}
		}
	}
}
