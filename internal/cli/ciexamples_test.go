// ciexamples_test: the examples for CI services, and the files that init writes for them, are YAML,
// and the commands in them can be typed.

package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"buildsys/internal/scaffold"
)

var (
	ciCommand    = regexp.MustCompile(`bin/buildsys (.*)`)
	ciExpression = regexp.MustCompile(`\$\{\{.*?\}\}|"\$ARCH"|"\$\{BUILDSYS_CI_ARCH\}"`)
)

func TestCIExamples(t *testing.T) {
	files := []string{"../../ci/github/images.yml", "../../ci/gitlab/images.yml"}
	for service, file := range map[string]string{"github": ".github/workflows/images.yml",
		"gitlab": ".gitlab-ci.yml", "codebuild": "buildspec.yml"} {
		tree, err := scaffold.Tree(t.TempDir(), scaffold.TreeOptions{Name: "os", CI: service})
		if err == nil {
			_, err = tree.Write()
		}
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, filepath.Join(tree.Dir, file))
	}
	for _, service := range files {
		data, err := os.ReadFile(service)
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
