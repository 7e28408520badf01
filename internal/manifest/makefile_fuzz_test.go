// A tree's Makefile.toml is read before anything else of it.

package manifest

import (
	"testing"

	"buildsys/internal/buildtest/bound"
)

func FuzzParseMakefile(f *testing.F) {
	f.Add([]byte("[env]\nA = \"x\"\nB = \"${A}${A}\"\nC = { script = [\"echo ${B}\"] }\n" +
		"[env.development]\nD = \"${E:default}${A\"\nF = 1\nG = true\nH = 1.5\n"))
	f.Add([]byte("[env]\nA.B.C.D = [[[[]]]]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		bound.Work(t, 256<<20+uint64(1000*len(data)), func() {
			values, _ := ParseMakefile("Makefile.toml", data, func(string) string { return "" })
			for name := range values {
				if name == "" {
					t.Errorf("a variable without a name in %q", values)
				}
			}
		})
	})
}
