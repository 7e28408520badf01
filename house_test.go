// house_test: enforces rules of the house (CONTRIBUTING.md) that neither the compiler nor
// staticcheck checks.

package buildsys

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

const (
	maxLines   = 60  // of a function, without its tables
	maxFields  = 15  // of a struct
	maxColumns = 100 // of a line, with a tab as one
)

// longer and wider are the functions and structs that may exceed the limits, by directory and name,
// with the reason.
var (
	longer = map[string]string{}
	wider  = map[string]string{}
)

// goFile is a parsed file of this repository.
type goFile struct {
	*ast.File
	path string // slash path from the root
	fset *token.FileSet
}

func (f goFile) isTest() bool { return strings.HasSuffix(f.path, "_test.go") }

// name returns the name of a declaration in the tables of exceptions: "internal/cache.Store".
func (f goFile) name(ident string) string {
	return filepath.ToSlash(filepath.Dir(f.path)) + "." + ident
}

func (f goFile) line(pos token.Pos) int { return f.fset.Position(pos).Line }

// filesOf returns the slash paths of the repository's files with an extension.
func filesOf(t *testing.T, ext string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (slices.Contains([]string{".git", "build", "bin"}, path) ||
			d.Name() == "testdata"):
			return fs.SkipDir
		case filepath.Ext(path) == ext:
			paths = append(paths, filepath.ToSlash(path))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// goFiles parses every Go file of the repository.
func goFiles(t *testing.T) []goFile {
	t.Helper()
	var files []goFile
	for _, path := range filesOf(t, ".go") {
		f := goFile{path: path, fset: token.NewFileSet()}
		var err error
		f.File, err = parser.ParseFile(f.fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	if len(files) < 100 {
		t.Fatalf("%d Go files", len(files))
	}
	return files
}

// TestLengthOfFunctions ignores tests, and tables in other functions: literals of slices, arrays
// and maps.
func TestLengthOfFunctions(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range goFiles(t) {
		for _, decl := range f.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Body == nil || f.isTest() {
				continue
			}
			if n := f.line(fn.End()) - f.line(fn.Pos()) + 1 - f.tableLines(fn.Body); n > maxLines {
				name := f.name(fn.Name.Name)
				if seen[name] = true; longer[name] == "" {
					t.Errorf("%s:%d: %s has %d lines, more than %d",
						f.path, f.line(fn.Pos()), fn.Name.Name, n, maxLines)
				}
			}
		}
	}
	noneUnused(t, longer, seen)
}

// tableLines counts the lines inside tables, except their first and last.
func (f goFile) tableLines(body ast.Node) (n int) {
	ast.Inspect(body, func(node ast.Node) bool {
		literal, ok := node.(*ast.CompositeLit)
		if !ok {
			return true
		}
		switch literal.Type.(type) {
		case *ast.ArrayType, *ast.MapType:
			n += max(0, f.line(literal.End())-f.line(literal.Pos())-1)
			return false
		}
		return true
	})
	return n
}

func TestFieldsOfStructs(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range goFiles(t) {
		ast.Inspect(f.File, func(node ast.Node) bool {
			spec, ok := node.(*ast.TypeSpec)
			if !ok || f.isTest() {
				return true
			}
			if s, ok := spec.Type.(*ast.StructType); ok && s.Fields.NumFields() > maxFields {
				name := f.name(spec.Name.Name)
				if seen[name] = true; wider[name] == "" {
					t.Errorf("%s:%d: %s has %d fields, more than %d",
						f.path, f.line(spec.Pos()), spec.Name.Name, s.Fields.NumFields(), maxFields)
				}
			}
			return true
		})
	}
	noneUnused(t, wider, seen)
}

func noneUnused(t *testing.T, exceptions map[string]string, seen map[string]bool) {
	t.Helper()
	for name := range exceptions {
		if !seen[name] {
			t.Errorf("%s is listed as an exception but does not exceed the limit: remove it", name)
		}
	}
}

// TestForbiddenCalls reports time.Sleep, because tests and code wait for an event (need.Until, a
// channel); in a bubble of synctest time is virtual. It reports fmt.Print outside programs, because
// packages get writers, what waits for a pipe in the place of a directory, as OpenRoot and ReadDir
// do (those of package confined do not), and what decodes TOML without a bound.
func TestForbiddenCalls(t *testing.T) {
	for _, f := range goFiles(t) {
		virtual := slices.ContainsFunc(f.Imports, func(i *ast.ImportSpec) bool {
			return i.Path.Value == `"testing/synctest"`
		})
		ast.Inspect(f.File, func(node ast.Node) bool {
			call, ok := node.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if call.Sel.Name == "OpenRoot" && strings.HasPrefix(f.path, "internal/") && !f.isTest() &&
				!strings.HasPrefix(f.path, "internal/confined/") {
				t.Errorf("%s:%d: use confined.OpenDir or OpenDirIn", f.path, f.line(call.Pos()))
			}
			pkg, ok := call.X.(*ast.Ident)
			if !ok {
				return true
			}
			switch what := pkg.Name + "." + call.Sel.Name; {
			case slices.Contains(waits, what) && strings.HasPrefix(f.path, "internal/") && !f.isTest() &&
				!strings.HasPrefix(f.path, "internal/confined/") && !isTool(f.path):
				t.Errorf("%s:%d: %s waits for a pipe: use package confined", f.path, f.line(call.Pos()), what)
			case slices.Contains(decodes, what) && !f.isTest() && f.Name.Name != "safetoml":
				t.Errorf("%s:%d: use safetoml.Decode", f.path, f.line(call.Pos()))
			case what == "time.Sleep" && !virtual,
				strings.HasPrefix(what, "fmt.Print") && f.Name.Name != "main" && !f.isTest():
				t.Errorf("%s:%d: do not use %s here", f.path, f.line(call.Pos()), what)
			}
			return true
		})
	}
}

// waits are the functions that wait for a pipe in the place of a directory.
var waits = []string{"os.ReadDir", "fs.ReadDir", "fs.Glob"}

// decodes are the functions that read TOML however deep it is.
var decodes = []string{"toml.Decode", "toml.Unmarshal", "toml.NewDecoder", "toml.DecodeFile"}

// isTool reports whether a file is of a package for tests and figures.
func isTool(path string) bool {
	return regexp.MustCompile(`^internal/(bench|buildtest|cibench|e2e|figures|golden|loopbench|picture|treegen)/`).
		MatchString(path)
}

// TestWidthOfLines exempts what cannot be broken: raw strings in Go; tables, code and addresses in
// Markdown. It exempts sources/ too, where an edit changes the keys of the sample OS.
func TestWidthOfLines(t *testing.T) {
	for _, f := range goFiles(t) {
		raw := map[int]bool{}
		ast.Inspect(f.File, func(node ast.Node) bool {
			if s, ok := node.(*ast.BasicLit); ok && strings.HasPrefix(s.Value, "`") {
				for n := f.line(s.Pos()); n <= f.line(s.End()); n++ {
					raw[n] = true
				}
			}
			return true
		})
		if !strings.HasPrefix(f.path, "sources/") {
			checkWidth(t, f.path, func(n int, _ string) bool { return raw[n] })
		}
	}
	for _, path := range filesOf(t, ".md") {
		code := false
		checkWidth(t, path, func(_ int, line string) bool {
			if strings.HasPrefix(strings.TrimSpace(line), "```") {
				code = !code
			}
			return code || strings.HasPrefix(line, "|") || strings.Contains(line, "://")
		})
	}
}

// checkWidth reports the lines that are too long and not exempt.
func checkWidth(t *testing.T, path string, exempt func(n int, line string) bool) {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(string(data), "\n") {
		if n := utf8.RuneCountInString(line); !exempt(i+1, line) && n > maxColumns {
			t.Errorf("%s:%d: has %d columns, more than %d", path, i+1, n, maxColumns)
		}
	}
}
