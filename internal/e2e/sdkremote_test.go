// An SDK image goes through a remote cache from one engine to another: here to the same one, which
// lost it.

package e2e

import (
	"archive/tar"
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

func TestSDKThroughCache(t *testing.T) {
	needEngine(t)
	t.Setenv("BUILDSYS_CACHE_DIR", t.TempDir())
	const name = "buildsys.invalid/buildsys-test-shared-sdk:1"
	shared := t.TempDir()
	env := []string{"BUILDSYS_SDK_IMAGE=" + name, "BUILDSYS_CACHE_FROM=" + shared}
	root := t.TempDir()
	write(t, root, "Release.toml", "version = \"1.0.0\"\n")
	write(t, root, "packages/README", "none\n")
	write(t, root, "rootfs.tar", rootfs(t, "a file"))
	removeImage(t, name)
	t.Cleanup(func() { removeImage(t, name) })

	buildsys(t, root, env, "sdk", "fetch").must(t, 4, "no remote cache", name)
	buildsys(t, root, append(env, "BUILDSYS_CACHE_TO="+shared), "sdk", "import", "rootfs.tar").must(t,
		0, "uploaded to dir:"+shared)
	removeImage(t, name)
	buildsys(t, root, env, "sdk", "check").must(t, 4)
	buildsys(t, root, env, "sdk", "fetch").must(t, 0)
	buildsys(t, root, env, "sdk", "check").must(t, 0)

	// Bytes that do not match the manifest never become an image.
	removeImage(t, name)
	blobs, err := filepath.Glob(filepath.Join(shared, "blobs/sha256/*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, blob := range blobs {
		if err := os.WriteFile(blob, []byte("{}"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	buildsys(t, root, env, "sdk", "fetch").must(t, 4, "the engine does not have the SDK image")
	buildsys(t, root, env, "sdk", "check").must(t, 4)
}

// rootfs makes a tar with one file.
func rootfs(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "etc/file", Mode: 0o644,
		Size: int64(len(text))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// removeImage removes an image from the engine, without the code under test.
func removeImage(t *testing.T, name string) {
	t.Helper()
	engineAsk(t, os.Getenv("DOCKER_HOST"), http.MethodDelete, "/images/"+name).Body.Close()
}
