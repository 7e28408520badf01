// Secrets: files for the secret mounts of a build, served from this process while the build runs.

package buildkit

import (
	"fmt"

	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/secrets/secretsprovider"

	"buildsys/internal/confined"
)

// readSecrets reads files by name.
func readSecrets(files map[string]confined.Path) (map[string][]byte, error) {
	values := make(map[string][]byte, len(files))
	for name, path := range files {
		data, err := path.Read(secretsprovider.MaxSecretSize)
		if err != nil {
			return nil, fmt.Errorf("secret %s: %w", name, err)
		}
		values[name] = data
	}
	return values, nil
}

// serveSecrets serves secrets by name; nothing if there are none. The engine asks for a secret when
// a step mounts it, puts it into a file in memory, and keeps neither its bytes nor a hash of them.
func serveSecrets(values map[string][]byte) []session.Attachable {
	if len(values) == 0 {
		return nil
	}
	return []session.Attachable{secretsprovider.FromMap(values)}
}
