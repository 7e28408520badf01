// Files in memory: the frontend's questions about inputs that this process holds are answered here,
// not by the engine.

package buildkit

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"slices"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/dockerui"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	fstypes "github.com/tonistiigi/fsutil/types"
)

// Before it plans a build, the frontend reads the Dockerfile and looks for an ignore file at the
// top of every named context. Each of these is a small solve of its own: a transfer to the engine,
// a snapshot there and its records, forced to disk. This process has the answers: the Dockerfile is
// in memory, and a context contains exactly what is listed, so there is no ignore file. On Docker
// 20.10 five such solves cost more than the build's own transfers.

// answer returns the result of a definition that only fetches such files, and whether it is one.
func (g *guard) answer(def *pb.Definition) (*gateway.Result, bool) {
	if !readsOnly(def, dockerui.DefaultDockerfileName, "dockerfile",
		dockerui.DefaultDockerfileName+".dockerignore", dockerui.DefaultDockerignoreName) {
		return nil, false
	}
	res := gateway.NewResult()
	res.SetRef(memFiles{dockerui.DefaultDockerfileName: g.dockerfile})
	return res, true
}

// readsOnly reports whether a definition only fetches files of the given names from the client.
func readsOnly(def *pb.Definition, names ...string) bool {
	sources := 0
	for _, raw := range def.GetDef() {
		var op pb.Op
		if err := op.UnmarshalVT(raw); err != nil {
			return false
		}
		// the last operation of every definition names its result
		if op.GetOp() == nil && len(op.GetInputs()) == 1 {
			continue
		}
		var follow []string
		if err := json.Unmarshal([]byte(op.GetSource().GetAttrs()[pb.AttrFollowPaths]),
			&follow); err != nil || len(follow) == 0 {
			return false
		}
		for _, path := range follow {
			if !slices.Contains(names, path) {
				return false
			}
		}
		sources++
	}
	return sources == 1
}

// memFiles is a gateway.Reference to files in memory, by name.
type memFiles map[string][]byte

var errNotInMemory = errors.New("only files in memory can be read here")

func (m memFiles) find(op, name string) ([]byte, error) {
	data, ok := m[name]
	if !ok {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return data, nil
}

// ReadFile implements gateway.Reference.
func (m memFiles) ReadFile(_ context.Context, req gateway.ReadRequest) ([]byte, error) {
	data, err := m.find("read", req.Filename)
	if r := req.Range; r != nil && err == nil {
		begin := min(r.Offset, len(data))
		data = data[begin:min(begin+r.Length, len(data))]
	}
	return data, err
}

// StatFile implements gateway.Reference.
func (m memFiles) StatFile(_ context.Context, req gateway.StatRequest) (*fstypes.Stat, error) {
	data, err := m.find("stat", req.Path)
	if err != nil {
		return nil, err
	}
	return &fstypes.Stat{Path: req.Path, Mode: 0o644, Size: int64(len(data))}, nil
}

// Evaluate implements gateway.Reference.
func (memFiles) Evaluate(context.Context) error { return nil }

// ToState implements gateway.Reference.
func (memFiles) ToState() (llb.State, error) { return llb.State{}, errNotInMemory }

// ReadDir implements gateway.Reference.
func (memFiles) ReadDir(context.Context, gateway.ReadDirRequest) ([]*fstypes.Stat, error) {
	return nil, errNotInMemory
}
