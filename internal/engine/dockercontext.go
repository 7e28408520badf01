// Docker contexts: the engine that the docker command has been told to use.

package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"buildsys/internal/confined"
)

// DockerContext is a context of the docker command (docker context): a name for an engine. The zero
// value is its default context, an engine on this machine.
type DockerContext struct {
	Name  string
	Host  string
	Certs string // directory with ca.pem, cert.pem and key.pem; empty without TLS
}

const maxContextFile = 1 << 20 // bytes; a few hundred are usual

// CurrentContext returns the context that DOCKER_CONTEXT names, or else the configuration of the
// docker command. Both are the user's.
func CurrentContext() (DockerContext, error) {
	dir := DockerConfigDir()
	name, from := os.Getenv("DOCKER_CONTEXT"), "DOCKER_CONTEXT"
	if name == "" && dir != "" {
		var config struct{ CurrentContext string }
		from = filepath.Join(dir, "config.json")
		if err := readContextFile(from, &config); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return DockerContext{}, err
		}
		name = config.CurrentContext
	}
	if name == "" || name == "default" {
		return DockerContext{}, nil
	}
	if dir == "" {
		return DockerContext{}, fmt.Errorf("the Docker context %q, which %s names: neither "+
			"DOCKER_CONFIG nor HOME says where contexts are", name, from)
	}
	c, err := readContext(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.New("there is no such context; docker context ls lists them")
	}
	if err != nil {
		return c, fmt.Errorf("the Docker context %q, which %s names: %w", name, from, err)
	}
	return c, nil
}

// DockerConfigDir returns the directory with the configuration of the docker command, "" if the
// environment names none. Without HOME there is none: .docker in the working directory is a tree's.
func DockerConfigDir() string {
	return DockerConfigIn(os.Getenv)
}

// DockerConfigIn is DockerConfigDir for another environment.
func DockerConfigIn(getenv func(string) string) string {
	if dir := getenv("DOCKER_CONFIG"); dir != "" {
		return dir
	}
	if home := getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".docker")
	}
	return ""
}

// readContext reads a context from where the docker command keeps them, by the hashes of their
// names.
func readContext(dir, name string) (DockerContext, error) {
	sum := sha256.Sum256([]byte(name))
	id := hex.EncodeToString(sum[:])
	var meta struct {
		Endpoints map[string]struct {
			Host          string
			SkipTLSVerify bool
		}
	}
	if err := readContextFile(filepath.Join(dir, "contexts", "meta", id, "meta.json"),
		&meta); err != nil {
		return DockerContext{}, err
	}
	at, ok := meta.Endpoints["docker"]
	switch {
	case !ok || at.Host == "":
		return DockerContext{}, errors.New("it names no Docker engine")
	case at.SkipTLSVerify:
		return DockerContext{}, errors.New("it does not check the engine's certificate: make it again " +
			"with the authority (docker context create --docker host=...,ca=...)")
	}
	c := DockerContext{Name: name, Host: at.Host}
	certs := filepath.Join(dir, "contexts", "tls", id, "docker")
	if _, err := os.Stat(certs); err == nil {
		c.Certs = certs
	}
	return c, nil
}

func readContextFile(name string, into any) error {
	data, err := confined.Path{Name: name}.Read(maxContextFile)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
