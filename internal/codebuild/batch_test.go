// batch_test: batches of random graphs and of a real one fulfil what CodeBuild and the graph
// require.

package codebuild

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"buildsys/internal/golden"
	"buildsys/internal/graph"
)

// randomUnits returns a graph of one or two architectures and variants. A unit of the second
// variant may need units of the first, but never the other way round.
func randomUnits(r *rand.Rand) []Unit {
	var units []Unit
	for _, arch := range []string{"aarch64", "x86_64"}[:1+r.IntN(2)] {
		var before []int
		for _, variant := range []string{"dev", "prod"}[:1+r.IntN(2)] {
			for i := range r.IntN(40) {
				u := Unit{Name: fmt.Sprintf("p.%d-x", i), Arch: arch, Variant: variant,
					Cost: time.Duration(r.ExpFloat64() * float64(time.Minute))}
				if r.IntN(10) == 0 {
					u.Cost *= 20
				}
				if r.IntN(20) == 0 {
					u.Cost = 0
				}
				for range r.IntN(4) {
					if len(before) > 0 {
						u.Deps = append(u.Deps, before[r.IntN(len(before))])
					}
				}
				before = append(before, len(units))
				units = append(units, u)
			}
			image := Unit{Name: variant, Arch: arch, Variant: variant, Image: true, Cost: time.Minute}
			image.Deps = slices.Clone(before)
			units = append(units, image)
		}
	}
	return units
}

func TestLayoutHoldsWhatTheGraphDemands(t *testing.T) {
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 5))
		units := randomUnits(r)
		o := Options{MaxNodes: 8 + r.IntN(60), NodeWork: time.Duration(1+r.IntN(20)) * time.Minute}
		nodes, err := Layout(units, o)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		checkNodes(t, fmt.Sprintf("seed %d", seed), units, nodes, o)
		again, _ := Layout(units, o)
		if !equalNodes(nodes, again) {
			t.Errorf("seed %d: two layouts of the same units differ", seed)
		}
	}
}

func equalNodes(a, b []Node) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return bytes.Equal(x, y)
}

var validID = regexp.MustCompile(`^[A-Za-z0-9_]{1,128}$`)

// checkNodes checks that every package is built by one node of its class or left to an image, that
// nodes come after those they depend on, and that a node waits, directly or not, for all that its
// units need.
func checkNodes(t *testing.T, what string, units []Unit, nodes []Node, o Options) {
	t.Helper()
	if len(nodes) > o.MaxNodes {
		t.Errorf("%s: %d nodes, at most %d are allowed", what, len(nodes), o.MaxNodes)
	}
	waits := map[string]map[string]bool{} // by ID, all that come before
	builds := map[string]string{}         // node by unit
	for _, n := range nodes {
		if !validID.MatchString(n.ID) || waits[n.ID] != nil {
			t.Fatalf("%s: identifier %q is bad or twice there", what, n.ID)
		}
		waits[n.ID] = map[string]bool{}
		for _, dep := range n.DependsOn {
			if waits[dep] == nil {
				t.Fatalf("%s: %s depends on %s, which does not come before it", what, n.ID, dep)
			}
			if waits[n.ID][dep] {
				t.Errorf("%s: %s need not name %s: another one waits for it", what, n.ID, dep)
			}
			waits[n.ID][dep] = true
			for far := range waits[dep] {
				waits[n.ID][far] = true
			}
		}
		for _, dep := range n.DependsOn {
			for _, other := range n.DependsOn {
				if waits[other][dep] {
					t.Errorf("%s: %s need not name %s: %s waits for it", what, n.ID, dep, other)
				}
			}
		}
		for _, name := range n.Packages {
			key := fmt.Sprint(n.Arch, n.Variant, name)
			if builds[key] != "" {
				t.Errorf("%s: %s is built by %s and %s", what, name, builds[key], n.ID)
			}
			builds[key] = n.ID
		}
		if n.Image {
			builds[fmt.Sprint(n.Arch, n.Variant, "image")] = n.ID
		}
	}
	of := func(u Unit) string {
		image := builds[fmt.Sprint(u.Arch, u.Variant, "image")]
		if u.Image {
			return image
		}
		return builds[fmt.Sprint(u.Arch, u.Variant, u.Name)] // empty: left to an image
	}
	for _, u := range units {
		mine := of(u)
		if mine == "" {
			continue
		}
		for _, dep := range u.Deps {
			if theirs := of(units[dep]); theirs != mine && theirs != "" && !waits[mine][theirs] {
				t.Errorf("%s: %s in %s needs %s in %s and does not wait for it", what, u.Name, mine,
					units[dep].Name, theirs)
			}
			if of(units[dep]) == "" && !u.Image {
				t.Errorf("%s: %s in %s needs %s, which was left to an image", what, u.Name, mine,
					units[dep].Name)
			}
		}
	}
}

func TestLayoutErrors(t *testing.T) {
	image := Unit{Name: "a", Arch: "x86_64", Variant: "a", Image: true}
	for _, test := range []struct {
		units []Unit
		o     Options
		want  string
	}{
		{[]Unit{image, {Name: "b", Arch: "x86_64", Variant: "b", Image: true}}, Options{1, time.Minute},
			"at least 2 nodes"},
		{[]Unit{{Name: "a", Deps: []int{0}}}, Options{1, time.Minute}, "does not come before it"},
		{[]Unit{image}, Options{0, time.Minute}, "must be positive"},
	} {
		if _, err := Layout(test.units, test.o); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("error is %v, want %q in it", err, test.want)
		}
	}
}

// TestLayoutOfRealTree arranges a graph of 94 packages with skewed durations.
func TestLayoutOfRealTree(t *testing.T) {
	units := realUnits(t)
	var last int
	for _, limit := range []int{3, 10, 100} {
		o := Options{MaxNodes: limit, NodeWork: 5 * time.Minute}
		nodes, err := Layout(units, o)
		if err != nil {
			t.Fatal(err)
		}
		checkNodes(t, fmt.Sprintf("%d nodes", limit), units, nodes, o)
		t.Logf("at most %d: %d nodes", limit, len(nodes))
		if len(nodes) < last {
			t.Errorf("a higher limit gave fewer nodes: %d after %d", len(nodes), last)
		}
		last = len(nodes)
	}
}

func realUnits(t *testing.T) []Unit {
	t.Helper()
	read := func(path string, v any) {
		data, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(data, v)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var tree struct {
		Packages map[string]struct {
			Build   []string `json:"build_dependencies"`
			Runtime []string `json:"dependencies"`
		}
	}
	read("../../testdata/graph.json", &tree)
	var seconds map[string]float64
	read("../scheduler/testdata/durations.json", &seconds)
	g := graph.New()
	for name, p := range tree.Packages {
		g.AddNode(name)
		for _, to := range p.Build {
			g.AddBuild(name, to)
		}
		for _, to := range p.Runtime {
			g.AddRuntime(name, to)
		}
	}
	order := g.Order(g.Nodes())
	var units []Unit
	for i, needs := range g.Needs(order) {
		sec, ok := seconds[order[i]]
		if !ok {
			sec = 20
		}
		units = append(units, Unit{Name: order[i], Arch: "x86_64", Variant: "aws-dev",
			Cost: time.Duration(sec * float64(time.Second)), Deps: slices.Collect(needs.All())})
	}
	image := Unit{Name: "aws-dev", Arch: "x86_64", Variant: "aws-dev", Image: true, Cost: time.Minute}
	for i := range units {
		image.Deps = append(image.Deps, i)
	}
	return append(units, image)
}

// TestSmallGraph is a golden test: units that variants share are built once, the heavy package
// alone, and what only one image needs with that image.
func TestSmallGraph(t *testing.T) {
	var units []Unit
	add := func(name, variant string, minutes float64, deps ...int) {
		u := Unit{Name: name, Arch: "x86_64", Variant: variant, Image: name == variant, Deps: deps}
		u.Cost = time.Duration(minutes * float64(time.Minute))
		units = append(units, u)
	}
	add("musl", "dev", 3)                    // 0
	add("kernel-6.1", "dev", 20)             // 1
	add("attr", "dev", 1, 0)                 // 2
	add("acl", "dev", 1, 0, 2)               // 3
	add("kmod-x", "dev", 1, 1)               // 4
	add("dev", "dev", 1, 0, 1, 2, 3, 4)      // 5
	add("release", "prod", 1, 0)             // 6
	add("prod", "prod", 1, 0, 1, 2, 3, 4, 6) // 7
	nodes, err := Layout(units, Options{MaxNodes: 100, NodeWork: 4 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := WriteBatch(&out, nodes, Settings{Buildspec: "ci/codebuild/buildspec.yml",
		ComputeType: "BUILD_GENERAL1_LARGE", Command: "buildsys ci codebuild --batch"}); err != nil {
		t.Fatal(err)
	}
	golden.Equal(t, "testdata/small.yml", out.Bytes())
	validate(t, "the batch", out.Bytes())
}

func TestBatchesAreBuildspecs(t *testing.T) {
	for _, units := range [][]Unit{realUnits(t), randomUnits(rand.New(rand.NewPCG(7, 7)))} {
		nodes, err := Layout(units, Options{MaxNodes: 100, NodeWork: 5 * time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := WriteBatch(&out, nodes, Settings{Buildspec: "x.yml", Command: "y"}); err != nil {
			t.Fatal(err)
		}
		validate(t, "a batch", out.Bytes())
	}
}

func TestKitsBuildspec(t *testing.T) {
	data, err := os.ReadFile("../../ci/codebuild/buildspec.yml")
	if err != nil {
		t.Fatal(err)
	}
	validate(t, "ci/codebuild/buildspec.yml", data)
	spec, err := ParseSpec(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{VarArches, VarVariants, VarPackages} {
		if _, ok := spec.Env.Variables[name]; !ok {
			t.Errorf("batches set %s, which the buildspec does not know", name)
		}
	}
}

// TestSchemaRefuses checks that the schema refuses faulty files.
func TestSchemaRefuses(t *testing.T) {
	for what, text := range map[string]string{
		"version":  "version: 0.1\nphases: {build: {commands: [x]}}",
		"phase":    "version: 0.2\nphases: {test: {commands: [x]}}",
		"empty":    "version: 0.2",
		"commands": "version: 0.2\nphases: {build: {finally: [x]}}",
		"number":   "version: 0.2\nenv: {variables: {A: 1}}\nphases: {build: {commands: [x]}}",
		"reserved": "version: 0.2\nenv: {variables: {CODEBUILD_X: a}}\n" +
			"phases: {build: {commands: [x]}}",
		"hyphen":     "version: 0.2\nbatch: {build-graph: [{identifier: a-b}]}",
		"identifier": "version: 0.2\nbatch: {build-graph: [{buildspec: a}]}",
		"typo":       "version: 0.2\nbatch: {build-graph: [{identifier: a, depends-on: [b]}]}",
	} {
		if err := schemaError(t, []byte(text)); err == nil {
			t.Errorf("%s: the schema takes %q", what, text)
		}
	}
}

func validate(t *testing.T, what string, data []byte) {
	t.Helper()
	if err := schemaError(t, data); err != nil {
		t.Errorf("%s is not a buildspec: %v", what, err)
	}
}

func schemaError(t *testing.T, data []byte) error {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile("testdata/buildspec.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var value any
	if err := yaml.Unmarshal(data, &value); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		t.Fatal(err)
	}
	return schema.Validate(document)
}

// TestPolicies checks that the policies grant no wildcard action, and no resource "*" except for
// the registry's token.
func TestPolicies(t *testing.T) {
	for _, name := range []string{"iam-policy.json", "iam-policy-batch.json"} {
		data, err := os.ReadFile("../../ci/codebuild/" + name)
		if err != nil {
			t.Fatal(err)
		}
		var policy struct {
			Version   string
			Statement []struct {
				Sid, Effect      string
				Action, Resource any
			}
		}
		decoder := json.NewDecoder(bytes.NewReader(data))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&policy); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if policy.Version != "2012-10-17" || len(policy.Statement) == 0 {
			t.Errorf("%s: version %q, %d statements", name, policy.Version, len(policy.Statement))
		}
		for _, s := range policy.Statement {
			if strings.Contains(fmt.Sprint(s.Action), "*") || s.Resource == "*" &&
				s.Action != "ecr:GetAuthorizationToken" {
				t.Errorf("%s: %s grants too much: %v on %v", name, s.Sid, s.Action, s.Resource)
			}
		}
	}
}
