// schema_test: the JSON Schemas of docs/schemas/manifests, for editors, agree with the parsers on
// every manifest in this repository.

package manifest

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/tools/txtar"
)

// schemaKinds are the kinds of manifest that have a schema: what their paths end in, and how they
// are parsed.
var schemaKinds = map[string]struct {
	path  *regexp.Regexp
	parse func(file string, data []byte) Problems
}{
	"package": {regexp.MustCompile(`(^|/)packages/[^/]+/Cargo\.toml$`),
		func(file string, data []byte) Problems { _, p := ParsePackage(file, data, Rules{}); return p }},
	"variant": {regexp.MustCompile(`(^|/)variants/[^/]+/Cargo\.toml$`),
		func(file string, data []byte) Problems { _, p := ParseVariant(file, data, Rules{}); return p }},
	"kit": {regexp.MustCompile(`(^|/)kits/.+/Cargo\.toml$`),
		func(file string, data []byte) Problems { _, p := ParseKit(file, data, Rules{}); return p }},
	"release": {regexp.MustCompile(`(^|/)Release\.toml$`),
		func(file string, data []byte) Problems { _, p := ParseRelease(file, data, Rules{}); return p }},
	"twoliter": {regexp.MustCompile(`(^|/)Twoliter\.toml$`),
		func(file string, data []byte) Problems { _, p := ParseProject(file, data, Rules{}); return p }},
	"twoliter-lock": {regexp.MustCompile(`(^|/)Twoliter\.lock$`),
		func(file string, data []byte) Problems { _, p := ParseLock(file, data); return p }},
}

func TestSchemasAgreeWithParsers(t *testing.T) {
	schemas := map[string]*jsonschema.Schema{}
	compiler := jsonschema.NewCompiler()
	for kind := range schemaKinds {
		schema, err := compiler.Compile("../../docs/schemas/manifests/" + kind + ".schema.json")
		if err != nil {
			t.Fatal(err)
		}
		schemas[kind] = schema
	}
	good, bad := map[string]int{}, map[string]int{}
	everyManifest(t, func(file string, data []byte) {
		for kind, k := range schemaKinds {
			value, ok := tomlValue(data)
			if !k.path.MatchString(file) || !ok {
				continue
			}
			problems := k.parse(file, data)
			switch err := schemas[kind].Validate(value); {
			case len(problems) == 0 && err != nil:
				t.Errorf("%s is right, but not by its schema: %v\n%s", file, err, data)
			case hasUnknown(problems) && err == nil:
				t.Errorf("%s is right by its schema, but:\n%v\n%s", file, problems, data)
			case err == nil:
				good[kind]++
			default:
				bad[kind]++
			}
		}
	})
	for kind := range schemaKinds {
		if good[kind] == 0 {
			t.Errorf("no %s in this repository is right by its schema", kind)
		}
	}
	t.Logf("right %v, wrong %v", good, bad)
}

// hasUnknown reports whether a problem is one that every schema knows: a key that nothing reads.
func hasUnknown(problems Problems) bool {
	for _, p := range problems {
		if strings.HasPrefix(p.Msg, "unknown key") ||
			strings.Contains(p.Msg, "belongs in a manifest below") {
			return true
		}
	}
	return false
}

// tomlValue returns a TOML document as JSON has it.
func tomlValue(data []byte) (any, bool) {
	var table map[string]any
	if _, err := toml.Decode(string(data), &table); err != nil {
		return nil, false
	}
	text, err := json.Marshal(table)
	if err != nil {
		return nil, false
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	return value, err == nil
}

// everyManifest calls do for each file below testdata, packages and variants, and for each in an
// archive there.
func everyManifest(t *testing.T, do func(file string, data []byte)) {
	t.Helper()
	for _, dir := range []string{"testdata", "packages", "variants", "Release.toml"} {
		err := filepath.WalkDir("../../"+dir, func(file string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return err
			}
			data, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			do(filepath.ToSlash(file), data)
			if filepath.Ext(file) == ".txtar" {
				for _, one := range txtar.Parse(data).Files {
					do(file+"/"+one.Name, one.Data)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
