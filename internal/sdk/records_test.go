package sdk

import (
	"os"
	"path/filepath"
	"testing"

	"buildsys/internal/errkind"
)

func TestRecordsThatCannotBeWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	err := RecordsIn(filepath.Join(file, "sdk")).Set("sdk:1", "sha256:0")
	if errkind.Of(err) != errkind.Environment {
		t.Errorf("%v; want an error of the environment", err)
	}
}
