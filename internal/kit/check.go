// check: compares Twoliter.lock with Twoliter.toml and the kits on this machine, without a network.

package kit

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"buildsys/internal/cache"
	"buildsys/internal/errkind"
	"buildsys/internal/manifest"
)

// CheckLock checks that Twoliter.lock is what Twoliter.toml asks for. The problems are at the lines
// of Twoliter.toml, which is the file that people edit.
func (t Tree) CheckLock(lock *manifest.Lock) error {
	const update = `run "buildsys update"`
	if lock == nil {
		if len(t.Project.Kits) == 0 {
			return nil
		}
		return manifest.Problems{{File: lockFile, Msg: "is missing, but " + projectFile + " needs kits",
			Hint: update + ", and commit it"}}
	}
	var problems manifest.Problems
	drift := func(line int, format string, args ...any) {
		problems = append(problems, manifest.Problem{File: projectFile, Line: line,
			Msg: fmt.Sprintf(format, args...), Hint: update})
	}
	if sdk := t.Project.SDK; sdk != nil && !sdk.SameImage(lock.SDK.Image) {
		drift(sdk.Line, "the SDK is %s here, but %s in %s", *sdk, lock.SDK.Image, lockFile)
	}
	if here := t.Project.Vendor; here != "" && lock.Vendor != "" && here != lock.Vendor {
		drift(0, "project-vendor is %q here, but %q in %s", here, lock.Vendor, lockFile)
	}
	locked := map[string]manifest.LockedImage{}
	for _, k := range lock.Kits {
		locked[k.Vendor+"/"+k.Name] = k
	}
	for _, k := range t.Project.Kits {
		switch l, ok := locked[k.Vendor+"/"+k.Name]; {
		case !ok:
			drift(k.Line, "kit %s is not in %s", k, lockFile)
		case l.Version != k.Version:
			drift(k.Line, "kit %s of vendor %s is %s here, but %s in %s", k.Name, k.Vendor, k.Version,
				l.Version, lockFile)
		case l.Source != t.Source(k):
			drift(t.Project.Vendors[k.Vendor].Line, "kit %s was locked at %s, but is now at %s", k.Name,
				l.Source, t.Source(k))
		}
	}
	return problems.Err()
}

// Installed returns the locked kits for an architecture, in the order of the lock, and checks that
// they fit together: each must have the SDK of the lock, and the kits that it needs must be locked
// as well. Files of the kits that have changed since they were last read are read. It needs no
// network.
func (t Tree) Installed(ctx context.Context, s Store, lock *manifest.Lock, arch string) (
	[]*Installed, error) {
	if err := t.CheckLock(lock); err != nil || lock == nil {
		return nil, err
	}
	memo := cache.NewMemo(ctx)
	memo.Load(s.memo())
	var out []*Installed
	needed := map[string]bool{}
	for _, k := range t.Project.Kits {
		needed[k.Vendor+"/"+k.Name] = true
	}
	for _, l := range lock.Kits {
		k, err := s.Find(l, arch)
		if err != nil {
			return nil, err
		}
		if err := k.verify(ctx, memo); err != nil {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			return nil, notHere(l, arch, err)
		}
		if !k.SDK.SameImage(lock.SDK.Image) {
			return nil, otherSDK("kit "+l.Name+" "+l.Version, k.SDK.Image, lockFile, lock.SDK.Image)
		}
		for _, need := range k.Kits {
			needed[need.Vendor+"/"+need.Name] = true
			if !slices.ContainsFunc(lock.Kits,
				func(l manifest.LockedImage) bool { return l.SameImage(need) }) {
				return nil, fault(errkind.Usage, l.Image, runUpdate,
					"it needs kit %s, which is not in %s", need, lockFile)
			}
		}
		out = append(out, k)
	}
	_ = memo.Save("", s.memo()) // without it, the files are read again
	var problems manifest.Problems
	for _, l := range lock.Kits {
		if !needed[l.Vendor+"/"+l.Name] {
			problems = append(problems, manifest.Problem{File: lockFile, Line: l.Line,
				Msg: fmt.Sprintf("kit %s is no longer needed", l.Image), Hint: `run "buildsys update"`})
		}
	}
	return out, problems.Err()
}

// SameLock reports whether two locks hold the same images.
func SameLock(a, b *manifest.Lock) bool {
	return a != nil && b != nil && string(a.Format()) == string(b.Format())
}

// LockChanges returns a line for each image in which a lock differs from the previous one, which
// may be nil.
func LockChanges(old, now *manifest.Lock) []string {
	if old == nil {
		old = &manifest.Lock{}
	}
	before, after := images(old), images(now)
	var out []string
	keys := slices.Concat(slices.Collect(maps.Keys(before)), slices.Collect(maps.Keys(after)))
	for _, key := range slices.Compact(slices.Sorted(slices.Values(keys))) {
		was, there := before[key]
		is, stays := after[key]
		switch {
		case !there:
			out = append(out, fmt.Sprintf("new: %s %s", key, is.Version))
		case !stays:
			out = append(out, fmt.Sprintf("gone: %s %s", key, was.Version))
		case was.Version != is.Version:
			out = append(out, fmt.Sprintf("%s: %s, was %s", key, is.Version, was.Version))
		case was.Digest != is.Digest:
			out = append(out, fmt.Sprintf("%s: %s is a different image than before", key, is.Version))
		case was.Source != is.Source:
			out = append(out, fmt.Sprintf("%s: from %s, was from %s", key, is.Source, was.Source))
		}
	}
	return out
}

func images(l *manifest.Lock) map[string]manifest.LockedImage {
	out := map[string]manifest.LockedImage{}
	if l.SDK != nil {
		out["SDK "+l.SDK.Name+" of "+l.SDK.Vendor] = *l.SDK
	}
	for _, k := range l.Kits {
		out["kit "+k.Name+" of "+k.Vendor] = k
	}
	return out
}
