package cache

import (
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestOthersMayRead: who may read a store is up to its directory, not to its files; and who may not
// write is told what to do.
func TestOthersMayRead(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(dir); err != nil {
		t.Fatal(err)
	}
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		info, e := d.Info()
		if err != nil || e != nil {
			t.Fatal(err, e)
		}
		if files++; info.Mode()&0o044 != 0o044 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return nil
	})
	if err != nil || files < 5 {
		t.Errorf("%d files, %v", files, err)
	}
	text := (&StoreError{Doing: "write a blob", Err: syscall.EACCES}).Error()
	if !strings.Contains(text, "if another user made it") {
		t.Error(text)
	}
}
