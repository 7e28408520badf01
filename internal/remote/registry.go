// registry: a remote cache in one repository of an OCI registry, through oras-go.

package remote

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	"oras.land/oras-go/v2/errdef"
	oras "oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"buildsys/internal/cache"
	"buildsys/internal/errkind"
	"buildsys/internal/network"
	"buildsys/internal/oci"
	"buildsys/internal/safetext"
)

const maxRedirects = 5

type ociRegistry struct {
	repo   *oras.Repository
	t      *target
	config string // path of the Docker config with the credentials
	// withheld says why the registry does not get them.
	withheld atomic.Pointer[string]
}

// newRegistry prepares a client. Credentials come from the Docker config and its helpers, and are
// read when a registry asks for them.
func newRegistry(t *target) (*ociRegistry, error) {
	repo, err := oras.NewRepository(t.place.Host + "/" + t.place.Repo)
	if err != nil {
		return nil, err
	}
	r := &ociRegistry{repo: repo, t: t, config: "the Docker config"}
	if store, err := credentials.NewStoreFromDocker(credentials.StoreOptions{}); err == nil {
		r.config = store.ConfigPath()
	}
	client := &auth.Client{
		Client: &http.Client{
			Transport:     &transport{t, newHosts(t.place, repo.Reference.Host())},
			CheckRedirect: checkRedirect,
		},
		Cache: auth.NewCache(),
	}
	client.SetUserAgent("buildsys")
	client.Credential = r.credential
	if loopback(t.place.Host) {
		client.BlockedRealmPrefixes = []netip.Prefix{} // its token server may be on this machine
	}
	repo.Client = client
	repo.PlainHTTP = t.place.Plain
	return r, nil
}

// checkRedirect allows redirects, by which registries send clients to their storage of blobs, but
// not from TLS to plain HTTP.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return finalError{errors.New("a redirect leads from https to " + req.URL.Scheme)}
	}
	return nil
}

func (r *ociRegistry) manifest(ctx context.Context, tag string) ([]byte, error) {
	desc, body, err := r.repo.Manifests().FetchReference(ctx, tag)
	if err != nil {
		return nil, r.failure(err)
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, oci.MaxDocument+1))
	if err != nil {
		return nil, r.failure(err)
	}
	if desc.Digest.Algorithm() == digest.SHA256 && desc.Digest != digest.FromBytes(data) {
		return nil, oci.Bad("the manifest does not match the digest that the server sent")
	}
	return data, nil
}

func (r *ociRegistry) hasManifest(ctx context.Context, tag string) (bool, error) {
	_, err := r.repo.Manifests().Resolve(ctx, tag)
	return r.found(err)
}

func (r *ociRegistry) found(err error) (bool, error) {
	if err == nil {
		return true, nil
	}
	if err = r.failure(err); errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return false, err
}

func (r *ociRegistry) putManifest(ctx context.Context, tag string, data []byte) error {
	d := oci.Describe(manifestType, oci.BlobOf(data))
	return r.failure(r.repo.Manifests().PushReference(ctx, d, bytes.NewReader(data), tag))
}

func (r *ociRegistry) blob(ctx context.Context, b cache.Blob) (io.ReadCloser, error) {
	body, err := r.repo.Blobs().Fetch(ctx, oci.Describe(outputType, b))
	if err != nil {
		return nil, r.failure(err)
	}
	return body, nil
}

func (r *ociRegistry) hasBlob(ctx context.Context, b cache.Blob) (bool, error) {
	there, err := r.repo.Blobs().Exists(ctx, oci.Describe(outputType, b))
	if err == nil {
		return there, nil
	}
	return r.found(err)
}

// putBlob uploads a blob. If its token expires during the upload, it opens a new upload, which
// renews the token.
func (r *ociRegistry) putBlob(ctx context.Context, b cache.Blob, data io.ReadSeeker) error {
	for again := false; ; again = true {
		if _, err := data.Seek(0, io.SeekStart); err != nil {
			return oci.Local(err)
		}
		err := r.repo.Blobs().Push(ctx, oci.Describe(outputType, b), struct{ io.Reader }{data})
		refused, ok := errors.AsType[*errcode.ErrorResponse](err)
		if again || !ok || refused.StatusCode != http.StatusUnauthorized ||
			refused.Method != http.MethodPut {
			return r.failure(err)
		}
	}
}

// failure classifies an error of oras-go; see target.do.
func (r *ociRegistry) failure(err error) error {
	if err == nil || errkind.Is[finalError](err) || errkind.Is[*oci.LocalError](err) {
		return err
	}
	if errors.Is(err, errdef.ErrNotFound) {
		return ErrNotFound
	}
	if errors.Is(err, auth.ErrBasicCredentialNotFound) {
		return r.unauthorized("requires credentials, but there are none")
	}
	if refused, ok := errors.AsType[*errcode.ErrorResponse](err); ok {
		return r.status(refused)
	}
	if refused, ok := errors.AsType[*network.AddressError](err); ok {
		return finalError{fmt.Errorf("%s leads elsewhere: %w", r.t.place.Host, refused)}
	}
	if dial, ok := errors.AsType[*net.OpError](err); ok && dial.Op == "dial" && !dial.Timeout() {
		return fmt.Errorf("%s does not answer: %w", r.t.place.Host, dial.Err)
	}
	if cert, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		err := fmt.Errorf("the certificate of %s: %w", r.t.place.Host, cert.Err)
		if errkind.Is[x509.UnknownAuthorityError](cert.Err) {
			err = fmt.Errorf("%w; %s", err, network.TrustHint)
		}
		return finalError{err}
	}
	if strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
		return finalError{fmt.Errorf("%s does not use TLS: write oci+http://%s/%s", r.t.place.Host,
			r.t.place.Host, r.t.place.Repo)}
	}
	return err
}

// status classifies an answer of the server.
func (r *ociRegistry) status(refused *errcode.ErrorResponse) error {
	text := fmt.Sprintf("%s answered %d %s", r.t.place.Host, refused.StatusCode,
		http.StatusText(refused.StatusCode))
	if len(refused.Errors) > 0 {
		text += " (" + brief(refused.Errors.Error()) + ")"
	}
	err := errors.New(text)
	switch code := refused.StatusCode; {
	case code == http.StatusUnauthorized:
		return r.unauthorized("refuses the credentials (401)")
	case code == http.StatusForbidden:
		return r.unauthorized(fmt.Sprintf("denies access to %s (403)", r.t.place.Repo))
	case code == http.StatusNotFound:
		if refused.Method == http.MethodGet || refused.Method == http.MethodHead {
			return ErrNotFound
		}
		return finalError{fmt.Errorf("%w: the repository %s may have to be created first", err,
			r.t.place.Repo)}
	case code == http.StatusInsufficientStorage:
		return finalError{fmt.Errorf("%w: it is full", err)}
	case code == http.StatusRequestTimeout, code == http.StatusTooManyRequests, code >= 500:
		return err
	}
	return finalError{oneError{err}}
}

// brief returns what a server says as a line that is safe to show, with its end cut off if it is
// long: nobody reads more, and a server may send megabytes.
func brief(said string) string {
	const most = 300
	runes := []rune(safetext.Line(said))
	if len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return string(runes)
}

func (r *ociRegistry) unauthorized(what string) error {
	host := r.t.place.Host
	if why := r.withheld.Load(); why != nil {
		return finalError{fmt.Errorf("%s %s: %s", host, what, *why)}
	}
	return finalError{fmt.Errorf("%s %s: log in (docker login %s) or correct the credentials or "+
		"helper in %s", host, what, host, r.config)}
}
