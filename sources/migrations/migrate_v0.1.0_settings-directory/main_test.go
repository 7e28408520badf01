// Tests of the migration: there, back, twice, and where it must not guess.

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"migrations/migrate"
)

// migrateStore runs the migration as the command line would and returns its exit status and
// messages.
func migrateStore(dir string, d migrate.Direction) (int, string) {
	var messages bytes.Buffer
	code := migrate.Main([]string{"migrate", string(d), dir}, &messages, run)
	return code, messages.String()
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	name = filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestThereAndBack(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, oldName, "boat\n")
	for _, step := range []struct {
		direction migrate.Direction
		want      string
	}{
		{migrate.Forward, newName}, {migrate.Forward, newName},
		{migrate.Backward, oldName}, {migrate.Backward, oldName},
	} {
		if code, messages := migrateStore(dir, step.direction); code != 0 {
			t.Fatalf("%s: exit status %d: %s", step.direction, code, messages)
		}
		if got, err := os.ReadFile(filepath.Join(dir, step.want)); err != nil || string(got) != "boat\n" {
			t.Fatalf("after %s: %s holds %q, %v", step.direction, step.want, got, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, newName)); err == nil {
		t.Errorf("after --backward %s is still there", newName)
	}
}

func TestNothingToMove(t *testing.T) {
	for _, d := range []migrate.Direction{migrate.Forward, migrate.Backward} {
		if code, messages := migrateStore(t.TempDir(), d); code != 0 {
			t.Errorf("%s of an empty store: exit status %d: %s", d, code, messages)
		}
	}
}

func TestTwoNames(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, oldName, "old")
	write(t, dir, newName, "new")
	code, messages := migrateStore(dir, migrate.Forward)
	if code != 1 || !strings.Contains(messages, "both hostname and settings/hostname exist") {
		t.Errorf("exit status %d: %s", code, messages)
	}
	if got, _ := os.ReadFile(filepath.Join(dir, newName)); string(got) != "new" {
		t.Errorf("%s was overwritten with %q", newName, got)
	}
}

func TestUsage(t *testing.T) {
	if code, _ := migrateStore(t.TempDir(), "--sideways"); code != 2 {
		t.Errorf("unknown direction: exit status %d, want 2", code)
	}
	if code, messages := migrateStore(filepath.Join(t.TempDir(), "missing"),
		migrate.Forward); code != 1 || messages == "" {
		t.Errorf("missing store: exit status %d: %q", code, messages)
	}
}
