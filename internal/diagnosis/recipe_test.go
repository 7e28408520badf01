// recipe_test: every script of the recipes that gives up with a sentence is known by its name.

package diagnosis

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestScriptsOfRecipesAreKnown(t *testing.T) {
	found := 0
	for _, pattern := range []string{"../../tools/*/*", "../../twoliter/tools/*/*"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(text), `/lib/prelude"`) {
				continue
			}
			found++
			if name := filepath.Base(file); !ours.MatchString(name + ": a reason") {
				t.Errorf("what %s says when it gives up is not found", name)
			}
		}
	}
	if found == 0 {
		t.Error("no script was found")
	}
}
