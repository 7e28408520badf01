// Storage: where the engine keeps its layers, on what file system, and the space that is left.

package doctor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"buildsys/internal/bytesize"

	"golang.org/x/mod/semver"
	"golang.org/x/sys/unix"
)

// olderThan reports whether version is an older release. Anything that is not a release is not
// older; v0.0.0 is what a build without a version calls itself.
func olderThan(version, than string) bool {
	return semver.IsValid(version) && semver.MajorMinor(version) != "v0.0" &&
		semver.Compare(version, than) < 0
}

// volumeFix is how a container gets a real file system for an engine in it.
const volumeFix = "in the image that runs the engine, write VOLUME %[1]s, or start its container " +
	"with -v NAME:%[1]s, " +
	"so that the engine's directory is on a disk and not on the container's own overlay"

// driver reports storage drivers that copy the whole SDK for every step.
func (r Request) driver() Check {
	e := r.Engine
	c := Check{Name: "storage driver", Status: OK, Detail: e.Driver}
	switch e.Driver {
	case "":
		return Check{Name: c.Name, Status: Skipped, Detail: "the engine does not report it"}
	case "vfs", "native":
		c.Status = Warning
		c.Detail = e.Driver + ": every step gets a full copy of the SDK (1 GB), which makes steps slow " +
			"and fills the disk"
		c.Fix = "this is what an engine falls back to when it cannot mount overlay: " + r.copyFix()
	case "devicemapper", "btrfs", "zfs", "overlay2", "overlayfs", "fuse-overlayfs", "stargz":
	default:
		c.Detail += " (not tested with buildsys)"
	}
	return c
}

// copyFix returns why an engine copies, as far as it can be seen from here, or else all possible
// reasons.
func (r Request) copyFix() string {
	volume := fmt.Sprintf(volumeFix, r.dataDir())
	privileges := "start the container that the engine runs in with --privileged (CodeBuild: " +
		"privileged mode)"
	kind, seen := r.rootOn()
	switch {
	case seen && kind == "overlay":
		return volume
	case seen && !r.mayMount():
		return "this container may mount nothing: " + privileges
	case seen:
		return fmt.Sprintf("its directory is on %s, where overlay works, so it was told to "+
			"(storage-driver in daemon.json or on its command line, "+
			"snapshotter in buildkitd.toml), or it may not mount: %s", kind, privileges)
	}
	return volume + "; or it may not mount: " + privileges
}

// rootOn returns the type of the file system of the engine's directory, if that is on this machine
// and can be seen.
func (r Request) rootOn() (kind string, seen bool) {
	if !r.Engine.Local || r.Engine.RootDir == "" {
		return "", false
	}
	kind, err := fileSystem(r.Engine.RootDir)
	return kind, err == nil
}

// mayMount reports whether processes here may mount (CAP_SYS_ADMIN, number 21); true if that is
// unknown.
func (r Request) mayMount() bool {
	for line := range strings.Lines(r.read("proc/self/status")) {
		if digits, ok := strings.CutPrefix(line, "CapBnd:"); ok {
			caps, err := strconv.ParseUint(strings.TrimSpace(digits), 16, 64)
			return err != nil || caps>>21&1 == 1
		}
	}
	return true
}

func (r Request) dataDir() string {
	switch {
	case r.Engine.RootDir != "":
		return r.Engine.RootDir
	case r.Engine.Kind == "buildkitd":
		return "/var/lib/buildkit"
	}
	return "/var/lib/docker"
}

// dataRoot checks the file system of the engine's directory, if it can be seen from here.
func (r Request) dataRoot() (Check, bool) {
	e := r.Engine
	if e.RootDir == "" {
		return Check{}, false
	}
	c := Check{Name: "data root", Status: OK}
	if _, err := os.Stat(e.RootDir); !e.Local || err != nil {
		c.Status, c.Detail = Skipped, e.RootDir+" cannot be seen from here"
		return c, true
	}
	kind, err := fileSystem(e.RootDir)
	if err != nil {
		c.Status, c.Detail = Skipped, err.Error()
		return c, true
	}
	c.Detail = fmt.Sprintf("%s on %s", e.RootDir, kind)
	if kind == "overlay" {
		c.Status = Warning
		c.Detail += ": overlay cannot be stacked on it, so the engine copies instead"
		c.Fix = fmt.Sprintf(volumeFix, e.RootDir)
	}
	return c, true
}

// databases are the engine's records of its build cache, below its directory: of dockerd and of
// buildkitd with each of its snapshotters.
var databases = []string{
	"buildkit/metadata_v2.db", "buildkit/containerdmeta.db", "buildkit/cache.db",
	"runc-overlayfs/metadata_v2.db", "runc-overlayfs/containerdmeta.db",
	"runc-native/metadata_v2.db", "runc-native/containerdmeta.db",
	"runc-fuse-overlayfs/metadata_v2.db", "runc-fuse-overlayfs/containerdmeta.db", "cache.db",
}

// largeDatabase is a size at which the list of free pages, which the engine writes whole with each
// of the dozens of changes that a step makes, is half a megabyte.
const largeDatabase = 256 << 20

// database checks the largest of the engine's records, if that is large. These files never become
// smaller: pruning only makes the list of what is free longer.
func (r Request) database() (Check, bool) {
	if !r.Engine.Local || r.Engine.RootDir == "" {
		return Check{}, false
	}
	var largest string
	var size int64
	for _, name := range databases {
		at := filepath.Join(r.Engine.RootDir, name)
		if info, err := os.Stat(at); err == nil && info.Size() > size {
			largest, size = at, info.Size()
		}
	}
	if size < largeDatabase {
		return Check{}, false
	}
	return Check{Name: "engine's records", Status: Warning,
		Detail: fmt.Sprintf("%s has %s, which makes every step slower", largest,
			bytesize.Format(size)),
		Fix: "stop the engine, and write the file anew: " +
			"go run go.etcd.io/bbolt/cmd/bbolt@latest compact -o NEW OLD; " +
			"pruning does not make it smaller"}, true
}

// fileSystem returns the type of the file system that a path is on.
func fileSystem(path string) (string, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return kindOf(&st), nil
}

// places returns the request's places and the engine's own, if that can be seen.
func (r Request) places() []Place {
	places := r.Places
	e := r.Engine
	if e.Err == nil && e.Local && e.RootDir != "" {
		if _, err := os.Stat(e.RootDir); err == nil {
			places = append([]Place{{
				Name: "engine", Path: e.RootDir, Need: engineNeed, Min: engineMin, byEngine: true,
			}}, places...)
		}
	}
	return places
}

const (
	// the SDK, the files of a build of everything, and BuildKit's cache before it is collected
	engineNeed = 20 << 30
	engineMin  = 1 << 30
	fewInodes  = 100_000 // an SDK has 50,000
	minInodes  = 1000
)

// disk checks the space and the inodes that are left for one directory.
func disk(p Place) Check {
	c := Check{Name: "disk: " + p.Name, Status: OK}
	at, err := existing(p)
	if err != nil {
		c.Status, c.Detail, c.Fix = Failure, err.Error(), "make it a directory that this user may "+
			"write to"
		return c
	}
	var st unix.Statfs_t
	if err := unix.Statfs(at, &st); err != nil {
		c.Status, c.Detail = Skipped, fmt.Sprintf("%s: %v", at, err)
		return c
	}
	free := int64(st.Bavail) * int64(st.Bsize) // their types differ between systems
	c.Detail = fmt.Sprintf("%s: %s free", p.Path, bytesize.Format(free))
	hasInodes := st.Files > 0 // btrfs and others have no fixed number of inodes
	if hasInodes {
		c.Detail += fmt.Sprintf(", %d inodes", st.Ffree)
	}
	switch {
	case st.Flags&readOnly != 0:
		c.Status, c.Fix = Failure, "it is on a read-only file system: set another place"
	case free < p.Min || hasInodes && st.Ffree < minInodes:
		c.Status = Failure
		c.Fix = fmt.Sprintf("free some: nothing can be built with less than %s and %d inodes",
			bytesize.Format(p.Min), minInodes)
	case free < p.Need:
		c.Status = Warning
		c.Fix = fmt.Sprintf("a build of everything is expected to need %s; "+
			"free some space, or set another place", bytesize.Format(p.Need))
	case hasInodes && st.Ffree < fewInodes:
		c.Status, c.Fix = Warning, "an SDK alone has some 50,000 files: remove files, or set another "+
			"place"
	}
	if c.Status != OK && p.Name == "engine" {
		c.Fix += " (docker builder prune drops the engine's build cache)"
	}
	return c
}

// existing returns the path, or the nearest directory above it that exists.
func existing(p Place) (string, error) {
	for at := filepath.Clean(p.Path); ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if target, link := os.Readlink(at); link == nil && errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("%s is a symbolic link to %s, where nothing is", at, target)
		}
		switch {
		case err == nil && !info.IsDir():
			return "", fmt.Errorf("%s is not a directory", at)
		// A read-only file system is reported by its flags.
		case err == nil && !p.byEngine && errors.Is(unix.Access(at, unix.W_OK), unix.EACCES):
			return "", fmt.Errorf("%s is not writable for this user", at)
		case err == nil:
			return at, nil
		case !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) || at == filepath.Dir(at):
			return "", err
		}
	}
}
