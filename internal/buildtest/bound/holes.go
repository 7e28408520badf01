package bound

import (
	"archive/tar"
	"bytes"
	"fmt"
	"testing"
)

// Hole returns a tar with one file, which is a hole of 2^60 bytes.
func Hole(t testing.TB, name string) []byte {
	t.Helper()
	const size = "1152921504606846976"
	var data bytes.Buffer
	w := tar.NewWriter(&data)
	// The writer refuses these records, so they get their names afterwards.
	err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644,
		PAXRecords: map[string]string{"GNU_sparse.major": "0", "GNU_sparse.minor": "1",
			"GNU_sparse.name": name, "GNU_sparse.size": size, "GNU_sparse.numblocks": "1",
			"GNU_sparse.map": fmt.Sprintf("%s,0", size)}})
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return bytes.ReplaceAll(data.Bytes(), []byte("GNU_sparse."), []byte("GNU.sparse."))
}
