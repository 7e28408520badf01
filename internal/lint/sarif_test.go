package lint

import (
	"bytes"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"buildsys/internal/golden"
	"buildsys/internal/manifest"
)

// TestSARIF holds what is written against the schema of the format.
func TestSARIF(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile("testdata/sarif-2.1.0.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []Finding
	for check := range checkHelp {
		all = append(all, Finding{Level: Warning, Check: check, Problem: manifest.Problem{File: "a"}})
	}
	for name, findings := range map[string][]Finding{
		"none": nil,
		"all":  all,
		"two": {
			{Level: Error, Check: CheckBuildNeeds, Problem: manifest.Problem{File: "packages/a b/%x.spec",
				Line: 3, Msg: "needs <b>\x1b[31m", Hint: "add it"}},
			{Level: Warning, Check: CheckUnusedFiles, Problem: manifest.Problem{File: "packages/a/old",
				Msg: "nothing names it"}},
		},
	} {
		var b bytes.Buffer
		if err := WriteSARIF(&b, findings, "os/", "v1.2.3"); err != nil {
			t.Fatal(err)
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(b.Bytes()))
		if err == nil {
			err = schema.Validate(value)
		}
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, b.Bytes())
		}
		if name == "two" {
			golden.Equal(t, "testdata/two.sarif", b.Bytes())
		}
	}
	if len(all) != 16 {
		t.Errorf("%d checks have help", len(all))
	}
}
