// Merge: the small inputs of a build become one tree, and each RUN mounts parts of it.

package buildkit

import (
	"context"
	"errors"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	"google.golang.org/protobuf/proto"

	"buildsys/internal/plan"
)

// Every tree that a definition makes is a snapshot in the engine with some ten records in its
// databases, each forced to disk by itself. A Dockerfile names contexts one by one, so the frontend
// is given placeholders; then every mount of a placeholder is changed into a mount of that
// directory in the one tree that has them all. With this, Docker 20.10 used a fifth less processor
// time and wrote a fifth less.

// placeholderPrefix begins the name of the only file of a placeholder; the context's key follows.
const placeholderPrefix = "/buildsys.invalid-context-"

// errApart reports that a Dockerfile uses a context other than by mounting it in a RUN.
var errApart = errors.New("the contexts cannot be merged")

// mergeable reports whether a context can be part of the one tree: it must belong to this step
// alone, and have no directories but those that hold the outputs of other steps, because
// directories in the tree have the times of its making.
func mergeable(c plan.Context, fsys *contextFS) bool {
	return !c.Shared && !slices.ContainsFunc(fsys.entries, func(e *contextEntry) bool {
		return e.mode.IsDir() && !slices.ContainsFunc(c.Dirs,
			func(d *plan.Dir) bool { return d.Name == e.path })
	})
}

// placeholder returns a state that stands in for a context.
func placeholder(key string) llb.State {
	return llb.Scratch().File(llb.Mkfile(placeholderPrefix+key, 0o644, nil))
}

// placeholderOf returns which context an operation stands in for.
func placeholderOf(op *pb.Op) (key string, ok bool) {
	if actions := op.GetFile().GetActions(); len(actions) == 1 {
		return strings.CutPrefix(actions[0].GetMkfile().GetPath(), placeholderPrefix)
	}
	return "", false
}

// together makes the one tree, with a directory for each of the given contexts.
func (in inputs) together(keys []string) (llb.State, error) {
	all := llb.Mkdir("/", 0o755, llb.WithParents(true))
	for _, key := range keys {
		var err error
		if all, _, err = makeFiles(all.Mkdir("/"+key, 0o755, made), "/"+key, in.merged[key]); err != nil {
			return llb.State{}, err
		}
	}
	return llb.Scratch().File(all, llb.WithCustomName("[contexts "+strings.Join(keys, ", ")+"]")), nil
}

// separate makes every context by itself.
func (in inputs) separate() error {
	for key, fsys := range in.merged {
		st, err := inline(fsys, contextTitle(key))
		if err != nil {
			return err
		}
		in.states[key] = st
	}
	return nil
}

// merge returns def with the one tree in the place of placeholders; def's operations are not
// changed. The error is errApart if there is no such definition.
func (in inputs) merge(ctx context.Context, def *pb.Definition) (*pb.Definition, error) {
	ops, keys, err := placeholders(def)
	if err != nil || len(keys) == 0 {
		return def, err
	}
	used := slices.Sorted(maps.Values(keys))
	tree, err := in.together(used)
	if err != nil {
		return nil, err
	}
	head, err := tree.Marshal(ctx)
	if err != nil {
		return nil, err
	}
	added := head.ToPB()
	out := rewriter{from: def, to: &pb.Definition{Metadata: map[string]*pb.OpMetadata{},
		Source: def.GetSource()}, renamed: map[string]string{}}
	last := len(added.GetDef()) - 1 // it names the result
	for _, raw := range added.GetDef()[:last] {
		out.add(raw, added.GetMetadata()[digest.FromBytes(raw).String()])
	}
	from := digest.FromBytes(added.GetDef()[last-1]).String()
	for i, op := range ops {
		if keys[digest.FromBytes(def.GetDef()[i]).String()] != "" {
			continue
		}
		if !mountTree(op, keys, from) {
			return nil, errApart
		}
		if err := out.replace(def.GetDef()[i], op); err != nil {
			return nil, err
		}
	}
	return out.to, nil
}

// placeholders returns the operations of a definition, and the contexts that some of them stand in
// for, by digest.
func placeholders(def *pb.Definition) (ops []*pb.Op, keys map[string]string, err error) {
	keys = map[string]string{}
	for _, raw := range def.GetDef() {
		op := &pb.Op{}
		if err := op.UnmarshalVT(raw); err != nil {
			return nil, nil, err
		}
		ops = append(ops, op)
		if key, ok := placeholderOf(op); ok {
			keys[digest.FromBytes(raw).String()] = key
		}
	}
	return ops, keys, nil
}

// mountTree makes the read-only mounts of placeholders show directories of the tree. It rejects any
// other use of a placeholder.
func mountTree(op *pb.Op, keys map[string]string, tree string) bool {
	for i, in := range op.GetInputs() {
		key, ok := keys[in.GetDigest()]
		if !ok {
			continue
		}
		if op.GetExec() == nil {
			return false
		}
		for _, m := range op.GetExec().GetMounts() {
			if m.GetInput() != int64(i) {
				continue
			}
			if !m.GetReadonly() || m.GetDest() == pb.RootMount || m.GetMountType() != pb.MountType_BIND {
				return false
			}
			m.Selector = path.Join("/", key, m.GetSelector())
		}
		in.Digest = tree
	}
	if exec := op.GetExec(); exec != nil {
		dropDoubles(op, exec)
	}
	return true
}

// dropDoubles makes a RUN name each input only once.
func dropDoubles(op *pb.Op, exec *pb.ExecOp) {
	var once []*pb.Input
	now := make([]int64, len(op.GetInputs())) // new index of each input
	for i, in := range op.GetInputs() {
		at := slices.IndexFunc(once, func(o *pb.Input) bool {
			return o.GetDigest() == in.GetDigest() &&
				o.GetIndex() == in.GetIndex()
		})
		if at < 0 {
			at = len(once)
			once = append(once, in)
		}
		now[i] = int64(at)
	}
	for _, m := range exec.GetMounts() {
		if m.GetInput() >= 0 {
			m.Input = now[m.GetInput()]
		}
	}
	op.Inputs = once
}

// rewriter copies a definition in which operations change, and with them the digests by which
// others name them.
type rewriter struct {
	from, to *pb.Definition
	renamed  map[string]string
}

func (r rewriter) add(raw []byte, m *pb.OpMetadata) string {
	id := digest.FromBytes(raw).String()
	r.to.Def = append(r.to.Def, raw)
	if m != nil {
		r.to.Metadata[id] = m
	}
	return id
}

// replace adds op in the place of the operation that was raw.
func (r rewriter) replace(raw []byte, op *pb.Op) error {
	for _, in := range op.GetInputs() {
		if to, ok := r.renamed[in.GetDigest()]; ok {
			in.Digest = to
		}
	}
	old := digest.FromBytes(raw).String()
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(op)
	if err != nil {
		return err
	}
	id := r.add(raw, r.from.GetMetadata()[old])
	r.renamed[old] = id
	if at, ok := r.to.GetSource().GetLocations()[old]; ok {
		r.to.Source.Locations[id] = at
	}
	return nil
}
