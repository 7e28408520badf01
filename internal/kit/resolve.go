// resolve: turns Twoliter.toml into Twoliter.lock, by asking the locations of the images.

package kit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"buildsys/internal/errkind"
	"buildsys/internal/manifest"
	"buildsys/internal/remote"
)

// Resolve asks the registries for the kits of the tree, for the kits that these need, and for the
// SDK. Kits are in the order in which they are found, those of Twoliter.toml first. old is the
// previous lock or nil: if local is set, steps do not take the SDK from a registry, and its digest
// in old is kept. The lock has the schema of the project, or that of old if it is newer.
func (t Tree) Resolve(ctx context.Context, old *manifest.Lock, local bool,
	say func(string)) (*manifest.Lock, error) {
	r := resolver{tree: t, say: say, known: map[string]wantedImage{}}
	for todo := t.asked(); len(todo) > 0; todo = todo[1:] {
		more, err := r.kit(ctx, todo[0])
		if err != nil {
			return nil, err
		}
		todo = append(todo, more...)
	}
	sdk, err := r.sdk()
	if err != nil {
		return nil, err
	}
	locked, err := t.lockSDK(ctx, sdk, old, local)
	if err != nil {
		return nil, err
	}
	r.lock.SDK = &locked
	r.lock.Schema, r.lock.Vendor = t.Project.Schema, t.Project.Vendor
	if old != nil && old.Schema > r.lock.Schema { // the program that wrote it needs it
		r.lock.Schema, r.lock.Vendor = old.Schema, old.Vendor
	}
	return &r.lock, nil
}

// wantedImage is a kit to resolve, and what needs it.
type wantedImage struct {
	manifest.Image
	by string
}

func (t Tree) asked() []wantedImage {
	var out []wantedImage
	for _, k := range t.Project.Kits {
		out = append(out, wantedImage{k, fmt.Sprintf("%s:%d", projectFile, k.Line)})
	}
	return out
}

type resolver struct {
	tree  Tree
	say   func(string)
	lock  manifest.Lock
	known map[string]wantedImage // by vendor and name
	sdks  []wantedImage
}

// kit resolves one kit, and returns the kits that it needs.
func (r *resolver) kit(ctx context.Context, want wantedImage) ([]wantedImage, error) {
	key := want.Vendor + "/" + want.Name
	if other, ok := r.known[key]; ok {
		if other.Version != want.Version {
			return nil, fault(errkind.Usage, want.Image, "use kits that agree",
				"%s needs it, but %s needs version %s", want.by, other.by, other.Version)
		}
		return nil, nil
	}
	if len(r.known) == maxKits {
		return nil, fault(errkind.Usage, want.Image, "", "the tree needs more than %d kits", maxKits)
	}
	r.known[key] = want
	if _, ok := r.tree.Project.Vendors[want.Vendor]; !ok {
		return nil, fault(errkind.Usage, want.Image,
			fmt.Sprintf("add [vendor.%s] with registry = \"HOST/PATH\" to %s", want.Vendor, projectFile),
			"%s needs it, but there is no vendor %q in %s", want.by, want.Vendor, projectFile)
	}
	r.say("resolving kit " + want.Image.String())
	digest, m, err := r.tree.inspect(ctx, want.Image)
	if err != nil {
		return nil, err
	}
	r.lock.Kits = append(r.lock.Kits, manifest.LockedImage{Image: want.Image,
		Source: r.tree.Source(want.Image), Digest: digest})
	by := "kit " + want.Name + " " + want.Version
	r.sdks = append(r.sdks, wantedImage{m.SDK.Image, by})
	var more []wantedImage
	for _, k := range m.Kits {
		more = append(more, wantedImage{k, by})
	}
	return more, nil
}

// inspect returns the digest and the metadata of a kit, which must be the same for every
// architecture.
func (t Tree) inspect(ctx context.Context, i manifest.Image) (digest string, m Metadata,
	err error) {
	src, err := t.open(i)
	if err != nil {
		return "", m, err
	}
	defer src.close()
	data, err := src.index(ctx, "v"+i.Version)
	if err != nil {
		return "", m, readFault(ctx, src, i, err)
	}
	if digest, err = Digest(data); err != nil {
		return "", m, fault(errkind.Integrity, i, "", "its index is not JSON: %v", err)
	}
	x, err := parseIndex(data)
	if err != nil {
		return "", m, fault(errkind.Integrity, i, "", "%v", err)
	}
	byArch, err := arches(x)
	if err != nil {
		return "", m, fault(errkind.Integrity, i, "", "%v", err)
	}
	if len(byArch) == 0 {
		return "", m, fault(errkind.Integrity, i, "",
			"it has no image for an architecture that buildsys supports")
	}
	label := ""
	for _, arch := range slices.Sorted(maps.Keys(byArch)) {
		_, c, err := readImage(ctx, src, byArch[arch])
		if err != nil {
			return "", m, readFault(ctx, src, i, err)
		}
		if err := checkConfig(i, c, arch); err != nil {
			return "", m, err
		}
		one, _ := decodeMetadata(c.Config.Labels) // checkConfig has read it
		encoded, err := one.Encode()
		if err != nil {
			return "", m, err
		}
		encoded = one.label() + "=" + encoded
		if label != "" && label != encoded {
			return "", m, fault(errkind.Integrity, i, "ask the vendor for images that were made together",
				"the labels of its images differ: that for %s is not like the others", arch)
		}
		label, m = encoded, one
	}
	return digest, m, nil
}

// sdk determines the SDK: that of Twoliter.toml or of the first kit. All kits must have the same.
func (r *resolver) sdk() (manifest.Image, error) {
	var want wantedImage
	if sdk := r.tree.Project.SDK; sdk != nil {
		want = wantedImage{*sdk, projectFile}
	} else if len(r.sdks) > 0 {
		want = r.sdks[0]
	} else {
		return want.Image, manifest.Problems{{File: projectFile,
			Msg:  "[sdk] is missing, and no kit determines the SDK",
			Hint: "add [sdk] with name, version and vendor"}}
	}
	for _, other := range r.sdks {
		if !other.SameImage(want.Image) {
			return want.Image, otherSDK(other.by, other.Image, want.by, want.Image)
		}
	}
	return want.Image, nil
}

func otherSDK(one string, a manifest.Image, other string, b manifest.Image) error {
	return &Error{Kind: errkind.Usage, What: "the SDK", Why: fmt.Sprintf(
		"%s was made with %s, but %s has %s", one, a, other, b),
		Hint: "one tree is built with one SDK: use versions that agree"}
}

// lockSDK returns the SDK with the digest of its image.
func (t Tree) lockSDK(ctx context.Context, sdk manifest.Image, old *manifest.Lock,
	local bool) (manifest.LockedImage, error) {
	locked := manifest.LockedImage{Image: sdk}
	locked.Line = 0
	if _, _, err := t.place(sdk); err != nil {
		return locked, err
	}
	locked.Source = t.Source(sdk)
	if local {
		if old != nil && old.SDK != nil && old.SDK.SameImage(sdk) {
			locked.Digest = old.SDK.Digest
		}
		return locked, nil
	}
	src, err := t.open(sdk)
	if err != nil {
		return locked, err
	}
	defer src.close()
	data, err := src.index(ctx, "v"+sdk.Version)
	if err == nil {
		locked.Digest, err = Digest(data)
	}
	if err == nil {
		return locked, nil
	}
	if ctx.Err() != nil {
		return locked, context.Cause(ctx)
	}
	kind := errkind.Environment
	if errors.Is(err, remote.ErrNotFound) {
		kind = errkind.Usage
	}
	return locked, &Error{Kind: kind, What: "the SDK " + sdk.String(), Why: err.Error(), Err: err,
		Hint: "if the SDK image is in no registry, name it with --sdk-image"}
}
