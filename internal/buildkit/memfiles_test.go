// The frontend's questions that never reach the engine.

package buildkit

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
)

func TestMemFilesAreAnsweredHere(t *testing.T) {
	local := func(paths ...string) llb.State {
		if paths == nil {
			return llb.Local("context-package")
		}
		return llb.Local("context-package", llb.FollowPaths(paths), llb.SharedKeyHint("x"))
	}
	tests := map[string]struct {
		state llb.State
		known bool
	}{
		"the Dockerfile":           {local("Dockerfile", "Dockerfile.dockerignore", "dockerfile"), true},
		"an ignore file":           {local(".dockerignore"), true},
		"a whole context":          {local(), false},
		"another file":             {local("a.spec"), false},
		"the Dockerfile and more":  {local("Dockerfile", "a.spec"), false},
		"a file that is then used": {local(".dockerignore").Run(llb.Shlex("true")).Root(), false},
		"two contexts": {llb.Scratch().File(llb.Copy(local(".dockerignore"), "/", "/")),
			false},
		"an image": {llb.Image("busybox"), false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			def, err := test.state.Marshal(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			g := &guard{dockerfile: []byte("FROM scratch\n"), notes: &notes{}} // without an engine
			if _, known := g.answer(def.ToPB()); known != test.known {
				t.Errorf("answered without the engine: %v, want %v", known, test.known)
			}
		})
	}
}

func TestKnownFiles(t *testing.T) {
	var files gateway.Reference = memFiles{"Dockerfile": []byte("FROM scratch\n")}
	for want, r := range map[string]*gateway.FileRange{
		"FROM scratch\n": nil,
		"FROM":           {Length: 4},
		"scratch\n":      {Offset: 5, Length: 100},
		"":               {Offset: 50, Length: 1},
	} {
		got, err := files.ReadFile(t.Context(), gateway.ReadRequest{Filename: "Dockerfile", Range: r})
		if err != nil || string(got) != want {
			t.Errorf("range %+v: %q, %v; want %q", r, got, err, want)
		}
	}
	if st, err := files.StatFile(t.Context(), gateway.StatRequest{Path: "Dockerfile"}); err != nil ||
		st.Size != 13 {
		t.Errorf("stat: %v, %v", st, err)
	}
	if _, err := files.ReadFile(t.Context(),
		gateway.ReadRequest{Filename: ".dockerignore"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}
