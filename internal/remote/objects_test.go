package remote

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const space = "0123456789abcdef0123456789abcdef"

// fetchObjects returns the pack that a new client finds.
func fetchObjects(t *testing.T, place Location, name string) (string, *client, error) {
	t.Helper()
	c := newClient(t, place, quick)
	to, err := os.Create(filepath.Join(t.TempDir(), "pack"))
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	err = c.FetchObjects(t.Context(), name, to)
	data, e := os.ReadFile(to.Name())
	if e != nil {
		t.Fatal(e)
	}
	return string(data), c, err
}

// TestObjects: the last pack of a space is found by all, and no other space's.
func TestObjects(t *testing.T) {
	places(t, func(t *testing.T, place Location) {
		if got, _, err := fetchObjects(t, place, space); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q, %v", got, err)
		}
		for _, text := range []string{"first", "second"} {
			file := filepath.Join(t.TempDir(), "pack")
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			c := newClient(t, place, quick)
			if err := c.ShareObjects(space, file); err != nil {
				t.Fatal(err)
			}
			c.Close(t.Context(), nil)
			if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the file is still there: %v", err)
			}
			if got, _, err := fetchObjects(t, place, space); got != text || err != nil {
				t.Errorf("%q, %v; want %q", got, err, text)
			}
		}
		other := strings.Repeat("f", 32)
		if got, _, err := fetchObjects(t, place, other); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("another space: %q, %v", got, err)
		}
	})
}

// TestObjectsOfAnother: a manifest that is not that of the space is refused.
func TestObjectsOfAnother(t *testing.T) {
	places(t, func(t *testing.T, place Location) {
		c := newClient(t, place, quick)
		file := filepath.Join(t.TempDir(), "pack")
		if err := os.WriteFile(file, []byte("pack"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := c.ShareObjects(space, file); err != nil {
			t.Fatal(err)
		}
		c.Close(t.Context(), nil)
		c = newClient(t, place, quick)
		back := c.push.target.back
		var data []byte
		err := c.push.target.do(t.Context(), 0, func(ctx context.Context) (err error) {
			if data, err = back.manifest(ctx, objectsTag(space)); err != nil {
				return err
			}
			return back.putManifest(ctx, objectsTag(strings.Repeat("f", 32)), bytes.Clone(data))
		})
		if err != nil {
			t.Fatal(err)
		}
		got, reader, err := fetchObjects(t, place, strings.Repeat("f", 32))
		if got != "" || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q, %v", got, err)
		}
		reader.said(t, "compiled objects", "refused")
	})
}
