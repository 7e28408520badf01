// Package manifest reads the TOML files of a tree into typed values: the Cargo.toml of packages,
// kits and variants, Release.toml, Twoliter.toml with its lock and override, and the [env] of
// Makefile.toml. It is strict and reports every mistake at once, with file and line. It sees single
// files; package workspace finds them and relates them to each other.
package manifest

// Package is one packages/<name>/Cargo.toml.
type Package struct {
	// Name is package-name, or the crate's name: directory, spec file and PACKAGE argument.
	Name             string
	Crate            string // [package] name
	File             string // the manifest, slash path relative to the root, for messages
	SourceGroups     []string
	ExternalFiles    []ExternalFile
	ReleasesURL      string
	VariantSensitive string // "", "variant", "platform", "runtime", "family" or "flavor"
	// PackageFeatures are the image features that the build sees when the variant has them.
	PackageFeatures []string
	BuildDeps       []Dependency // [build-dependencies]: BuildRequires
	// Deps are [dependencies]: Requires; needed before the image, not before this package.
	Deps []Dependency
	// CargoFiles are files that only cargo reads ([package] build, [lib] path); no input of the
	// build.
	CargoFiles []string
	NameLine   int   // where the name is given
	GroupLines []int // where each of SourceGroups is given
}

// Dependency is one entry of a dependency table, by path. Key is the crate's name.
type Dependency struct {
	Key  string
	Path string // as written, relative to the manifest's directory
	Line int
}

// ExternalFile is a source that is fetched and verified by its hash.
type ExternalFile struct {
	URL           string
	SHA512        string // 128 lower-case hex digits
	Path          string // file name to use instead of the URL's last segment; one path component
	ForceUpstream bool
	// BundleGo is bundle-modules = ["go"]: vendor the Go modules that the code in this archive
	// needs.
	BundleGo bool
	// BundleRust is bundle-modules = ["rust"]: vendor the crates that its Cargo.lock names.
	BundleRust bool
	// BundleRoot is the slash path of the module inside the archive; empty for the archive's only
	// top-level directory.
	BundleRoot   string
	BundleOutput string // name of the archive of vendored modules, see BundleName
	Line         int
}

// Variant is one variants/<name>/Cargo.toml.
type Variant struct {
	Name             string // directory name
	Crate            string
	File             string
	IncludedPackages []string // RPM names without the OS prefix; may be sub-packages
	ImageFormat      string   // "raw", "qcow2", "vmdk", "uki" or "eif"
	Layout           ImageLayout
	SupportedArches  []string // empty means all
	KernelParameters []string
	// ImageFeatures are image-features and the older grub-features as written; see Features.
	ImageFeatures map[string]bool
	Parts         VariantParts
	Guests        []Guest // sorted by crate
	BuildDeps     []Dependency
	Deps          []Dependency
	IncludedLines []int // where each of IncludedPackages is given
	// Generation determines which features an image has that says nothing of them.
	Generation Generation
}

// VariantParts are what a manifest says instead of the parts of the variant's name; empty where the
// name holds.
type VariantParts struct{ Platform, Runtime, Family, Version, Flavor string }

// ImageLayout is [package.metadata.build-variant.image-layout]. Sizes are in GiB.
type ImageLayout struct {
	OSImageSizeGiB          int    // default 2, or 1 of images without data
	DataImageSizeGiB        int    // default 1
	PublishImageSizeHintGiB int    // default 22
	PartitionPlan           string // "split" (default) or "unified"
}

// Release is Release.toml.
type Release struct {
	Version string // "1.2.3"
}
