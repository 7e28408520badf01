// Secrets: files for the secret mounts of a build, served from this process while the build runs.

package buildkit

import (
	"fmt"

	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/secrets/secretsprovider"

	"buildsys/internal/confined"
)

// secretSession serves files by name; nothing if there are none. The engine asks for a secret when
// a step mounts it, puts it into a file in memory, and keeps neither its bytes nor a hash of them.
func secretSession(files map[string]confined.Path) ([]session.Attachable, error) {
	if len(files) == 0 {
		return nil, nil
	}
	values := make(map[string][]byte, len(files))
	for name, path := range files {
		data, err := path.Read(secretsprovider.MaxSecretSize)
		if err != nil {
			return nil, fmt.Errorf("secret %s: %w", name, err)
		}
		values[name] = data
	}
	return []session.Attachable{secretsprovider.FromMap(values)}, nil
}
