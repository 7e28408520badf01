package engine

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCurrentContext(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("DOCKER_CONFIG", dir)
	t.Setenv("DOCKER_HOST", "")
	write := func(name, text string) {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	id := func(name string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(name))) }
	meta := func(name, endpoint string) {
		write("contexts/meta/"+id(name)+"/meta.json",
			`{"Name":"`+name+`","Metadata":{},"Endpoints":{"docker":`+endpoint+`}}`)
	}
	meta("far", `{"Host":"ssh://builder@far","SkipTLSVerify":false}`)
	meta("tls", `{"Host":"tcp://far:2376","SkipTLSVerify":false}`)
	write("contexts/tls/"+id("tls")+"/docker/ca.pem", "")
	meta("blind", `{"Host":"tcp://far:2376","SkipTLSVerify":true}`)
	meta("empty", `{}`)
	write("contexts/meta/"+id("broken")+"/meta.json", "{")

	for _, c := range []struct {
		env, config string
		host        string
		tls         bool
		fault       string
	}{
		{},
		{config: `{}`},
		{config: `{"currentContext":"default"}`},
		{config: `{"currentContext":"far"}`, host: "ssh://builder@far"},
		{env: "default", config: `{"currentContext":"far"}`},
		{env: "tls", config: `{"currentContext":"far"}`, host: "tcp://far:2376", tls: true},
		{env: "far", config: "damaged", host: "ssh://builder@far"},
		{config: "damaged", fault: "config.json: invalid character"},
		{env: "none", fault: `the Docker context "none", which DOCKER_CONTEXT names: there is no such ` +
			"context; docker context ls lists them"},
		{config: `{"currentContext":"../x"}`, fault: `config.json names: there is no such context`},
		{env: "blind", fault: "it does not check the engine's certificate"},
		{env: "empty", fault: "it names no Docker engine"},
		{env: "broken", fault: "meta.json: unexpected end of JSON input"},
	} {
		t.Setenv("DOCKER_CONTEXT", c.env)
		os.Remove(filepath.Join(dir, "config.json"))
		if c.config != "" {
			write("config.json", c.config)
		}
		got, err := CurrentContext()
		if c.fault != "" {
			if err == nil || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%+v: error %v", c, err)
			}
			continue
		}
		if err != nil || got.Host != c.host || (got.Certs != "") != c.tls {
			t.Errorf("%+v: got %+v, %v", c, got, err)
		}
		if all := strings.Join((Options{}).Addresses(), " "); all != c.host {
			t.Errorf("%+v: addresses %q", c, all)
		}
	}
	t.Setenv("DOCKER_CONTEXT", "far")
	t.Setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
	if all := (Options{}).Addresses(); len(all) != 1 || all[0] != "tcp://127.0.0.1:1" {
		t.Errorf("DOCKER_HOST goes before a context: %q", all)
	}
}

// Without HOME, .docker would be one in the working directory, which is a tree's.
func TestTreeNamesNoDockerContext(t *testing.T) {
	for _, name := range []string{"DOCKER_CONFIG", "DOCKER_CONTEXT", "DOCKER_HOST"} {
		t.Setenv(name, "")
	}
	t.Chdir(t.TempDir())
	meta := filepath.Join(".docker", "contexts", "meta", fmt.Sprintf("%x", sha256.Sum256([]byte("x"))))
	if err := os.MkdirAll(meta, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		filepath.Join(".docker", "config.json"): `{"currentContext":"x"}`,
		filepath.Join(meta, "meta.json"):        `{"Endpoints":{"docker":{"Host":"ssh://far"}}}`,
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, home := range []string{"", "."} {
		t.Setenv("HOME", home)
		if got, err := CurrentContext(); err != nil || got != (DockerContext{}) {
			t.Errorf("HOME=%q: %+v, %v", home, got, err)
		}
	}
	t.Setenv("DOCKER_CONTEXT", "x")
	if got, err := CurrentContext(); err == nil || !strings.Contains(err.Error(), "nor HOME says") {
		t.Errorf("DOCKER_CONTEXT: %+v, %v", got, err)
	}
}
