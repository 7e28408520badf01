package remote

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"oras.land/oras-go/v2/registry/remote/auth"
)

// dockerConfig writes a Docker config, and a helper "any" that has a password for any host and
// notes its runs in the returned file.
func dockerConfig(t *testing.T, config string) (ran string) {
	t.Helper()
	bin := t.TempDir()
	ran = filepath.Join(bin, "ran")
	helper := "#!/bin/sh\necho >>'" + ran + "'\necho '{\"Username\":\"ci\",\"Secret\":\"right\"}'\n"
	for file, text := range map[string]string{
		filepath.Join(bin, "docker-credential-any"):              helper,
		filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json"): config,
	} {
		if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	return ran
}

// TestTreesSendNoLoginsWithoutTLS has a registry without TLS that only a tree names, and asks for a
// password that the Docker config has.
func TestTreesSendNoLoginsWithoutTLS(t *testing.T) {
	f, r := stored(t)
	f.credentials(t, "right")
	var sent atomic.Int64
	f.fault = func(w http.ResponseWriter, r *http.Request, _ int) bool {
		if r.Header.Get("Authorization") != "" {
			sent.Add(1)
			return false
		}
		status(401, "WWW-Authenticate", `Basic realm="registry"`)(w)
		return true
	}
	place := f.place()
	place.Named = false
	c := newClient(t, place, quick)
	if _, ok := r.lookup(t, c); ok || sent.Load() > 0 {
		t.Errorf("the registry got the password %d times", sent.Load())
	}
	c.said(t, "only the tree names it, without TLS", "oci+http://"+place.Host)
	place.Named = true
	if _, ok := r.lookup(t, newClient(t, place, quick)); !ok || sent.Load() == 0 {
		t.Error("the caller names it: it does not get the password")
	}
}

// TestHelpersAreAskedForNamedHostsOnly has hosts that the caller or the Docker config names, and
// one that only a tree names.
func TestHelpersAreAskedForNamedHostsOnly(t *testing.T) {
	const host = "registry.invalid:5000"
	for _, test := range []struct {
		name, config string
		named        bool
		asks         string
		want         string
	}{
		{"general helper, tree", `{"credsStore":"any"}`, false, host, ""},
		{"general helper, caller", `{"credsStore":"any"}`, true, host, "right"},
		{"login, tree", `{"credsStore":"any","auths":{"` + host + `":{}}}`, false, host, "right"},
		{"login by URL, tree", `{"credsStore":"any","auths":{"https://` + host + `":{}}}`, false,
			host, "right"},
		{"helper of the host, tree", `{"credHelpers":{"` + host + `":"any"}}`, false, host, "right"},
		{"login of another host, tree", `{"credsStore":"any","auths":{"other.invalid":{}}}`, false,
			host, ""},
		{"another host, caller", `{"credsStore":"any","auths":{"other.invalid":{}}}`, true,
			"other.invalid", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("DOCKER_CONFIG", t.TempDir())
			ran := dockerConfig(t, test.config)
			r, err := newRegistry(&target{place: Location{Host: host, Repo: "team/cache",
				Named: test.named}})
			if err != nil {
				t.Fatal(err)
			}
			got, err := r.credential(t.Context(), test.asks)
			if err != nil || got.Password != test.want {
				t.Errorf("credentials %v, %v; want the password %q", got, err, test.want)
			}
			if _, err := os.Stat(ran); test.want == "" && err == nil {
				t.Error("the helper was asked")
			}
			if test.want == "" && got != auth.EmptyCredential {
				t.Errorf("credentials %s", fmt.Sprint(got))
			}
		})
	}
}
