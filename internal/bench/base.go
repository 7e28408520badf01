// base: the small image that every container job starts from, as a tar for a Docker engine and as an OCI layout for BuildKit.

package bench

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// base is the image: busybox and nothing else. All peers use the same bytes.
type base struct {
	tar    []byte
	image  string // its name on the Docker engine
	layout string // directory with it as an OCI image layout
	digest string // of its manifest in there, "sha256:…"
}

var applets = []string{"sh", "sleep", "sed", "grep", "cat", "cp", "mkdir", "printf", "sha256sum"}

// makeBase packs the static busybox at path; the layout is written below dir.
func makeBase(path, dir string) (base, error) {
	busybox, err := os.ReadFile(path)
	if err != nil {
		return base{}, fmt.Errorf("the jobs need a static busybox: %w", err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err = w.WriteHeader(&tar.Header{Name: "bin/busybox", Mode: 0o755, Size: int64(len(busybox))})
	if err == nil {
		_, err = w.Write(busybox)
	}
	for _, name := range applets {
		if err == nil {
			err = w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + name, Linkname: "busybox", Mode: 0o777})
		}
	}
	for _, name := range []string{"proc/", "sys/", "dev/", "etc/", "tmp/", "host/"} {
		if err == nil {
			err = w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755})
		}
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return base{}, err
	}
	out := base{tar: b.Bytes(), layout: filepath.Join(dir, "oci")}
	out.image = "buildsys.invalid/bench:" + digestOf(out.tar)[len("sha256:"):][:12]
	out.digest, err = writeLayout(out.layout, out.tar)
	return out, err
}

func digestOf(data []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(data)) }

// writeLayout writes an image of one layer by the OCI image layout specification, and returns its manifest's digest.
func writeLayout(dir string, layer []byte) (digest string, err error) {
	type object = map[string]any
	files := map[string]string{}
	blob := func(mediaType string, data []byte) object {
		d := digestOf(data)
		files["blobs/sha256/"+d[len("sha256:"):]] = string(data)
		return object{"mediaType": "application/vnd.oci.image." + mediaType, "digest": d, "size": len(data)}
	}
	encode := func(v any) []byte {
		data, _ := json.Marshal(v) // maps of strings and numbers
		return data
	}
	layers := []object{blob("layer.v1.tar", layer)}
	config := blob("config.v1+json", encode(object{
		"architecture": "amd64", "os": "linux", "rootfs": object{"type": "layers", "diff_ids": []string{digestOf(layer)}},
		"config": object{"Env": []string{"PATH=/bin"}},
	}))
	manifest := blob("manifest.v1+json", encode(object{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": layers,
	}))
	files["oci-layout"] = `{"imageLayoutVersion":"1.0.0"}`
	files["index.json"] = string(encode(object{"schemaVersion": 2, "manifests": []object{manifest}}))
	return manifest["digest"].(string), write(dir, files)
}
