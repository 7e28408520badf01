// foreign_test: what lint finds in a real tree, against what another program found there.

package lint

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"testing"

	"buildsys/internal/workspace"
)

// TestBottlerocket holds the undeclared needs of Bottlerocket 1.9.2 against those that an analysis of its specs by other
// means gave, and wants no finding that breaks a build: the tree was built as it is.
func TestBottlerocket(t *testing.T) {
	root := os.Getenv("BUILDSYS_TEST_BOTTLEROCKET_TREE")
	if root == "" {
		t.Skip("BUILDSYS_TEST_BOTTLEROCKET_TREE does not name a checkout of Bottlerocket 1.9.2")
	}
	data, err := os.ReadFile("../../../shared/data/bottlerocket-v1.9.2-graph.json")
	if err != nil {
		t.Skip("the expected findings are not here:", err)
	}
	var want struct {
		Lint struct {
			Requires map[string][]string `json:"undeclared_requires"`
		}
	}
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	ws, err := workspace.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	findings, err := Tree(ws, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	pattern := regexp.MustCompile(`^packages/(\S+)/\S+: warning: needs bottlerocket-ARCH-(\S+) at run time, which package (\S+) provides`)
	for _, f := range findings {
		if f.Level == Error {
			t.Errorf("the tree was built, but %v", f)
		}
		if m := pattern.FindStringSubmatch(f.String()); m != nil {
			got[m[1]] = append(got[m[1]], m[2]+" (dir "+m[3]+")")
		}
	}
	for _, list := range got {
		slices.Sort(list)
	}
	if !maps.EqualFunc(got, want.Lint.Requires, slices.Equal) {
		t.Errorf("undeclared: got %v, want %v", got, want.Lint.Requires)
	}
}
