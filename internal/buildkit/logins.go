// Logins: credentials of the Docker config for an engine that uses a registry on behalf of a build.

package buildkit

import (
	"context"

	"github.com/moby/buildkit/session/auth"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"oras.land/oras-go/v2/registry/remote/credentials"
)

// registryLogins gives an engine the credentials for some hosts only: an engine may ask for any.
type registryLogins struct{ hosts map[string]bool }

// Register implements session.Attachable.
func (l registryLogins) Register(server *grpc.Server) {
	auth.RegisterAuthServer(server, loginServer{hosts: l.hosts})
}

type loginServer struct {
	auth.UnimplementedAuthServer // tokens: the engine gets them itself, with the credentials
	hosts                        map[string]bool
}

// Credentials implements auth.AuthServer. Having none is not an error: most registries let anyone
// read.
func (s loginServer) Credentials(ctx context.Context,
	req *auth.CredentialsRequest) (*auth.CredentialsResponse, error) {
	if !s.hosts[req.Host] {
		return &auth.CredentialsResponse{}, nil
	}
	store, err := credentials.NewStoreFromDocker(credentials.StoreOptions{})
	if err != nil {
		return nil, status.Errorf(codes.FailedPrecondition, "cannot read the credentials for %s: %v",
			req.Host, err)
	}
	c, err := credentials.Credential(store)(ctx, req.Host)
	if err != nil {
		return nil, status.Errorf(codes.FailedPrecondition, "cannot get the credentials for %s: %v",
			req.Host, err)
	}
	if c.RefreshToken != "" { // an identity token, which registries with OAuth issue
		return &auth.CredentialsResponse{Secret: c.RefreshToken}, nil
	}
	return &auth.CredentialsResponse{Username: c.Username, Secret: c.Password}, nil
}
