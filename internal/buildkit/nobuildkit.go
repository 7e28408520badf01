// Engines without BuildKit: what speaks Docker's API and cannot build.

package buildkit

import (
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/moby/buildkit/identity"
)

// check looks for BuildKit behind the API. Podman's service has none, and a proxy before an engine
// may let only some of the API through.
func (d *dockerd) check(ctx context.Context) error {
	for path, meta := range map[string]map[string][]string{
		"/grpc":    nil,
		"/session": {"X-Docker-Expose-Session-Uuid": {identity.NewID()}},
	} {
		conn, err := question(ctx, d, "docker's "+path, d.patience.short,
			func(ctx context.Context, _ func()) (net.Conn, error) {
				return hijack(ctx, func() (net.Conn, error) {
					return d.docker.DialHijack(ctx, path, "h2c", meta)
				})
			})
		switch {
		case err == nil:
			conn.Close()
		case strings.HasPrefix(err.Error(), "unable to upgrade to "): // the client has no type for it
			return &noBuildKitError{path: path, err: err, who: d.maker(ctx)}
		default:
			return d.unreachable(ctx, err)
		}
	}
	return nil
}

// maker returns what the engine calls itself, such as "Podman Engine" "5.4.2"; empty if it does not
// say.
func (d *dockerd) maker(ctx context.Context) string {
	v, err := d.docker.ServerVersion(ctx)
	if err != nil || len(v.Components) == 0 {
		return ""
	}
	return fmt.Sprintf("%.40q %.40q", v.Components[0].Name, v.Components[0].Version)
}

// noBuildKitError reports an engine that speaks Docker's API without the part of BuildKit.
type noBuildKitError struct {
	path string // of the API
	who  string // see maker
	err  error
}

func (e *noBuildKitError) Error() string {
	text := "it has no BuildKit, or something before it does not let " + e.path + " through"
	if e.who != "" {
		text += "; it calls itself " + e.who
	}
	return fmt.Sprintf("%s: %v", text, e.err)
}

func (e *noBuildKitError) Unwrap() error { return e.err }
