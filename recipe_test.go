// recipe_test: checks that values which Go and the recipe's scripts both contain are equal.

package buildsys

import (
	"fmt"
	"strings"
	"testing"
)

func TestEpoch(t *testing.T) {
	want := fmt.Sprintf("\nexport SOURCE_DATE_EPOCH=%d\n", Epoch)
	for _, file := range []string{"tools/lib/prelude", "sdk/build"} {
		if text, err := Recipe.ReadFile(file); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s does not have %q (%v)", file, want, err)
		}
	}
}
