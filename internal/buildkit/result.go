// Result: a build's outputs come directly from the step that makes them.

package buildkit

import (
	"path"
	"slices"

	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	"google.golang.org/protobuf/proto"
)

// outputDir is where a recipe's RUN leaves its outputs.
const outputDir = "/output"

// A target ends in FROM scratch and COPY --from=… /output/ /, after a RUN on the SDK as root. A
// Dockerfile cannot say it otherwise, but solved like that, the engine copies all outputs into a
// separate layer. withoutCopy makes /output a mount of that RUN, and its contents the result.

// withoutCopy returns the definition in that form, or unchanged if it does not end like that.
func withoutCopy(def *pb.Definition) *pb.Definition {
	ops := make([]*pb.Op, len(def.GetDef()))
	index := map[string]int{} // by digest
	users := map[string]int{} // inputs of other operations
	for i, raw := range def.GetDef() {
		ops[i] = &pb.Op{}
		if err := ops[i].UnmarshalVT(raw); err != nil {
			return def
		}
		index[digest.FromBytes(raw).String()] = i
		for _, in := range ops[i].GetInputs() {
			users[in.GetDigest()]++
		}
	}
	if len(ops) == 0 || len(ops[len(ops)-1].GetInputs()) != 1 {
		return def
	}
	copied, ok := index[ops[len(ops)-1].GetInputs()[0].GetDigest()]
	if !ok || !copiesOutput(ops[copied]) {
		return def
	}
	from := ops[copied].GetInputs()[0]
	ran, ok := index[from.GetDigest()]
	if !ok || users[from.GetDigest()] != 1 || !mountOutput(ops[ran], from.GetIndex(),
		func(in string) bool {
			base, ok := index[in]
			return ok && ops[base].GetSource() != nil
		}) {
		return def
	}
	return replaceEnd(def, ops, ran, copied)
}

// copiesOutput reports whether an operation does nothing but copy the contents of /output to the
// root of an empty tree.
func copiesOutput(op *pb.Op) bool {
	actions := op.GetFile().GetActions()
	if len(actions) != 1 || len(op.GetInputs()) != 1 || actions[0].GetInput() != -1 ||
		actions[0].GetSecondaryInput() != 0 {
		return false
	}
	c := actions[0].GetCopy()
	return c != nil && path.Clean(c.GetSrc()) == outputDir && path.Clean(c.GetDest()) == "/" &&
		c.GetDirCopyContents() &&
		c.GetOwner() == nil && c.GetMode() < 0 && c.GetModeStr() == "" && c.GetTimestamp() < 0 &&
		len(c.GetIncludePatterns())+len(c.GetExcludePatterns()) == 0 &&
		!c.GetAttemptUnpackDockerCompatibility()
}

// mountOutput gives a RUN that leaves its root as the given output a mount at /output, as its next
// output. It rejects a RUN that may do something else with /output: one that does not start at a
// source, or comes after others.
func mountOutput(op *pb.Op, output int64, isSource func(digest string) bool) bool {
	exec := op.GetExec()
	if exec == nil || !slices.Contains([]string{"", "0", "0:0", "root", "root:root"},
		exec.GetMeta().GetUser()) {
		return false
	}
	var root *pb.Mount
	for _, m := range exec.GetMounts() {
		dest := path.Clean(m.GetDest())
		switch {
		case dest == "/":
			root = m
		case dest == outputDir || m.GetOutput() != int64(pb.SkipOutput) && !leavesNothing(m):
			return false
		}
	}
	if root == nil || root.GetOutput() != output || root.GetInput() < 0 ||
		!isSource(op.GetInputs()[root.GetInput()].GetDigest()) {
		return false
	}
	// The root remains an output although nothing uses it: without one, newer engines make it
	// read-only.
	exec.Mounts = append(exec.Mounts, &pb.Mount{Input: int64(pb.Empty), Dest: outputDir,
		Output: output + 1, MountType: pb.MountType_BIND})
	return true
}

// leavesNothing reports whether a mount is of a kind that has no output. Definitions say 0 for their
// output, which is that of another mount.
func leavesNothing(m *pb.Mount) bool {
	return m.GetMountType() == pb.MountType_SECRET || m.GetMountType() == pb.MountType_SSH
}

// replaceEnd returns the definition with the changed operation ran as its end, and without copied.
func replaceEnd(def *pb.Definition, ops []*pb.Op, ran, copied int) *pb.Definition {
	from := ops[copied].GetInputs()[0]
	out := &pb.Definition{Metadata: map[string]*pb.OpMetadata{}, Source: def.GetSource()}
	add := func(raw []byte, as digest.Digest) digest.Digest {
		id := digest.FromBytes(raw)
		out.Def = append(out.Def, raw)
		if m, ok := def.GetMetadata()[as.String()]; ok {
			out.Metadata[id.String()] = m
		}
		return id
	}
	end := len(ops) - 1
	for i, raw := range def.GetDef() {
		if i != ran && i != copied && i != end {
			add(raw, digest.FromBytes(raw))
		}
	}
	marshal := proto.MarshalOptions{Deterministic: true}.Marshal
	raw, err := marshal(ops[ran])
	if err != nil {
		return def
	}
	old := digest.FromBytes(def.GetDef()[ran])
	id := add(raw, old)
	ops[end].Inputs = []*pb.Input{{Digest: id.String(), Index: from.GetIndex() + 1}}
	last, err := marshal(ops[end])
	if err != nil {
		return def
	}
	add(last, digest.FromBytes(def.GetDef()[end]))
	if at, ok := out.Source.GetLocations()[old.String()]; ok {
		out.Source.Locations[id.String()] = at
	}
	return out
}
