// Manifests come from caches that anybody may write to.

package remote

import (
	"testing"

	"buildsys/internal/buildtest/bound"
	"buildsys/internal/cache"
	"buildsys/internal/oci"
)

func FuzzManifest(f *testing.F) {
	var text cache.Transcript
	text.Restart("package/a x86_64")
	e := cache.Entry{Action: text.ID(), Step: "package/a x86_64", Transcript: text.String(),
		Files: []cache.File{{Name: "a.rpm", Mode: 0o644, Size: 3, SHA256: [32]byte{1}},
			{Name: "b", Link: "a.rpm"}}}
	e.Content = cache.ContentOf(e.Files)
	good, err := encodeManifest(e, oci.BlobOf([]byte("{}")))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"schemaVersion":2,"layers":[{},{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		bound.Work(t, 64<<20+uint64(200*len(data)), func() {
			got, err := decodeManifest(data, e.Action, e.Step, e.Transcript)
			if err != nil {
				return
			}
			if _, err := encodeManifest(got, oci.BlobOf([]byte("{}"))); err != nil {
				t.Errorf("%+v was accepted, and cannot be written: %v", got, err)
			}
		})
	})
}
