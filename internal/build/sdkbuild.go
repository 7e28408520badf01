// sdkbuild: makes SDK images of the packages that a lock names, and locks.

package build

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"buildsys"
	"buildsys/internal/debian"
	"buildsys/internal/engine"
	"buildsys/internal/errkind"
	"buildsys/internal/fetch"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
	"buildsys/internal/safetext"
	"buildsys/internal/sdk"
)

// SDKBuild is what BuildSDK is asked for.
type SDKBuild struct {
	// Unlocked takes the packages that mirrors have now, whatever the lock says. The image has
	// another name, and stands for the other one until that is made.
	Unlocked bool
	Replace  bool // as for ImportSDK
	// Imported is called with the image's name, before the upload to a remote cache.
	Imported func(name string)
}

// BuildSDK makes the SDK image of the tree's recipe on the engine, which needs no image and no
// network for it, and imports it.
func (s *Session) BuildSDK(ctx context.Context, o SDKBuild) error {
	recipe, err := sdk.OpenRecipe(s.c.Root, s.c.SDK.Host)
	if err != nil {
		return err
	}
	defer recipe.Close()
	named, err := recipe.Name()
	if err != nil {
		return err
	}
	m := sdkMaker{s: s, recipe: recipe, name: named}
	switch is := cmp.Or(s.c.SDK.StandsFor, s.c.SDK.Image); {
	case is != named:
		return errkind.Usagef("steps run in the image %s, which the tree or --sdk-image names; this "+
			"command makes %s", is, named)
	case o.Unlocked && s.c.Remote.Release:
		return errkind.Usagef("--unlocked and --release contradict each other: a release needs the " +
			"packages that sdk/" + sdk.LockFile + " names")
	}
	if o.Unlocked {
		if m.lock, err = s.newLock(ctx, recipe); err == nil {
			m.name, err = recipe.UnlockedName(m.lock)
		}
	} else {
		m.lock, err = recipe.Lock()
	}
	if err != nil {
		return err
	}
	err = m.make(ctx, func(rootfs io.Reader) error {
		return s.importSDK(ctx, m.name, rootfs, o.Replace, func() { o.Imported(m.name) })
	})
	if err != nil {
		return err
	}
	standIn := ""
	if o.Unlocked {
		standIn = m.name
	}
	return sdk.RecordsIn(s.c.CacheDir.SDK()).SetStandIn(named, standIn)
}

// sdkMaker makes one SDK.
type sdkMaker struct {
	s      *Session
	recipe *sdk.Recipe
	lock   *sdk.Lock
	name   string
}

// make makes the root file system, and calls use with its tar. If the root file system turns out to
// be incomplete, reading the tar fails.
func (m *sdkMaker) make(ctx context.Context, use func(rootfs io.Reader) error) error {
	e := &engineLink{s: m.s}
	defer e.close()
	if err := e.dial(ctx); err != nil {
		return err
	}
	maker, ok := e.eng.(engine.RootfsMaker)
	if !ok {
		return errkind.Environmentf("this engine makes no root file systems")
	}
	host, err := m.host(ctx, e)
	if err != nil {
		return err
	}
	packages, err := m.fetch(ctx, host)
	if err != nil {
		return err
	}
	r := engine.Rootfs{Name: m.name, Arch: host, Env: []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		Args: []string{"/bin/bash", "/" + sdkDir + "/recipe/build"}}
	if r.Mounts, err = m.mounts(host, packages); err != nil {
		return err
	}
	base, err := m.base(ctx, host, packages)
	if err != nil {
		return err
	}
	defer os.Remove(base)
	r.Base = base
	return m.run(ctx, maker, r, use)
}

// sdkDir is the directory in which the program that makes an SDK finds its files.
const sdkDir = ".sdk"

// host returns the host to make the SDK for, which must be the engine's machine: another one would
// run it slowly, or not at all. A buildkitd does not tell what it runs on.
func (m *sdkMaker) host(ctx context.Context, e *engineLink) (string, error) {
	info, err := e.eng.Info(ctx)
	if err != nil {
		return "", err
	}
	is := map[string]string{"x86_64": "amd64", "aarch64": "arm64"}[info.Arch]
	if is = cmp.Or(is, info.Arch); is != "" && is != m.recipe.Host {
		return "", errkind.Usagef("the engine runs on %s and the SDK is for %s: --engine-arch %s names "+
			"the engine's machine", safetext.Line(is), m.recipe.Host, safetext.Line(info.Arch))
	}
	return m.recipe.Host, nil
}

// fetch fetches the packages of a host, and returns where they are, by their names.
func (m *sdkMaker) fetch(ctx context.Context, host string) (map[string]string, error) {
	dir, paths := m.s.c.CacheDir.Debian(), map[string]string{}
	mirrors := m.s.mirrors()
	var list []fetch.Package
	for _, p := range m.lock.Hosts[host] {
		one := fetch.Package{Name: p.FileName(), SHA256: p.SHA256, Size: p.Size,
			URLs: m.lock.URLs(&p, mirrors, m.s.c.SDK.Snapshot)}
		list = append(list, one)
		paths[one.Name] = one.In(dir)
	}
	err := m.s.sources(m.s.out).FetchPackages(ctx, dir, "packages of the SDK", list)
	if missing, ok := errors.AsType[*fetch.PackagesError](err); ok && missing.Bad {
		return nil, fmt.Errorf("%w\n  a mirror or a cache was tampered with or is damaged, or the lock "+
			"is wrong: name another place (--lookaside-cache, --debian-mirrors)", missing)
	} else if ok {
		return nil, errkind.Wrap(missing.ErrorKind(), fmt.Errorf("%w\n  name a place that has them "+
			"(--lookaside-cache, --debian-mirrors), lock what mirrors have now (buildsys sdk lock), or "+
			"make an image of another name from that (buildsys sdk build --unlocked)", missing))
	}
	return paths, err
}

// mirrors returns where Debian's archives are.
func (s *Session) mirrors() sdk.Mirrors {
	if len(s.c.SDK.Mirrors) > 0 {
		return sdk.MirrorsAt(s.c.SDK.Mirrors)
	}
	return sdk.MirrorsOfApt("/etc/apt")
}

// mounts returns what the program that makes the SDK finds.
func (m *sdkMaker) mounts(host string, packages map[string]string) (map[string]plan.Context,
	error) {
	recipe, err := m.recipe.Context()
	if err != nil {
		return nil, err
	}
	order, err := m.lock.Order(host)
	if err != nil {
		return nil, err
	}
	var files plan.Context
	for name, path := range packages {
		files.Files = append(files.Files, plan.File{Name: name, Host: path})
	}
	return map[string]plan.Context{"/" + sdkDir + "/recipe": recipe, "/" + sdkDir + "/order": order,
		"/" + sdkDir + "/packages": files}, nil
}

// base writes the root file system that the program begins with, and returns its path.
func (m *sdkMaker) base(ctx context.Context, host string, packages map[string]string) (path string,
	err error) {
	groups, err := m.lock.Groups(host)
	if err != nil {
		return "", errkind.BadUsage(err)
	}
	var files []string
	for _, p := range groups[0] {
		files = append(files, packages[p.FileName()])
	}
	f, err := os.CreateTemp(sdk.RecordsIn(m.s.c.CacheDir.SDK()).TempDir(), "sdk-*.tar")
	if err != nil {
		return "", errkind.BadEnvironment(err)
	}
	buffered := bufio.NewWriterSize(f, 1<<20)
	err = debian.WriteRoot(ctx, buffered, files)
	if err = errors.Join(err, buffered.Flush(), f.Close()); err != nil {
		_ = os.Remove(f.Name())
		return "", errkind.Wrap(errkind.Integrity, fmt.Errorf("unpack the packages of the SDK: %w",
			err))
	}
	return f.Name(), nil
}

// run has the engine make the root file system while use reads it.
func (m *sdkMaker) run(ctx context.Context, maker engine.RootfsMaker, r engine.Rootfs,
	use func(rootfs io.Reader) error) error {
	m.s.out.Notice("making " + m.name + " on the engine; this takes some minutes")
	log, err := newSDKLog(filepath.Join(string(m.s.c.CacheDir.SDK()), "build.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	raw, sent := io.Pipe()
	rootfs, normal := io.Pipe()
	made := make(chan error, 1)
	go func() {
		err := maker.MakeRootfs(ctx, r, sent, log.event)
		_ = sent.CloseWithError(err)
		made <- err
	}()
	go func() {
		err := sdk.Normalize(normal, raw, buildsys.Epoch, sdkDir)
		_ = raw.CloseWithError(err)
		_ = normal.CloseWithError(err)
	}()
	begun := bufio.NewReader(rootfs)
	_, err = begun.Peek(1) // an engine does not wait for minutes for what it imports
	if err == nil {
		err = use(begun)
	}
	_ = rootfs.CloseWithError(cmp.Or(err, errors.New("the import has ended")))
	if err != nil {
		cancel()
	}
	if failed := <-made; failed != nil && (err == nil || errors.Is(err, failed)) {
		return log.explain(failed)
	}
	return err
}

// sdkLog keeps the output of the program that makes an SDK.
type sdkLog struct {
	*os.File
	tail *progress.Tail
}

// sdkLogTail is how many lines of the output are shown if the program fails.
const sdkLogTail = 20

func newSDKLog(path string) (*sdkLog, error) {
	f, err := os.Create(path)
	return &sdkLog{f, progress.NewTail(sdkLogTail)}, errkind.BadEnvironment(err)
}

func (l *sdkLog) event(e progress.Event) {
	l.tail.Event(e)
	fmt.Fprintln(l.File, e.Text)
}

// explain returns an error with the end of the output.
func (l *sdkLog) explain(err error) error {
	if errkind.Of(err) != errkind.StepFailed {
		return err
	}
	return errkind.Wrap(errkind.StepFailed, fmt.Errorf("%w\n  | %s\n  all of it: %s", err,
		strings.Join(l.tail.Lines(""), "\n  | "), l.Name()))
}

// LockSDK writes the lock of the tree's SDK from what Debian's archives have now, and returns what
// changed and how many packages there are for each host.
func (s *Session) LockSDK(ctx context.Context) (changes []sdk.Change, err error) {
	recipe, err := sdk.OpenRecipe(s.c.Root, s.c.SDK.Host)
	if err != nil {
		return nil, err
	}
	defer recipe.Close()
	if !recipe.Own {
		return nil, errkind.Usagef("the tree has no sdk/: it uses the recipe of buildsys, with its lock")
	}
	l, err := s.newLock(ctx, recipe)
	if err != nil {
		return nil, err
	}
	return l.Changes(recipe.Old()), l.Write(s.c.Root)
}

// newLock resolves the recipe's list against what Debian's archives have now.
func (s *Session) newLock(ctx context.Context, recipe *sdk.Recipe) (*sdk.Lock, error) {
	list, err := recipe.List()
	if err != nil {
		return nil, err
	}
	keys, err := recipe.Keys()
	if err != nil {
		return nil, err
	}
	a := &archives{s: s, store: s.sources(s.out), mirrors: s.mirrors(), keys: keys,
		now: time.Now(), releases: map[string]*sdkRelease{}}
	var packages []*debian.Package
	for _, index := range sdk.Indexes() {
		some, err := a.read(ctx, index)
		if err != nil {
			return nil, err
		}
		packages = append(packages, some...)
	}
	l, err := sdk.NewLock(ctx, list, packages, a.newest())
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, errkind.Usagef("resolve sdk/packages.list: %w", err)
	}
	if old := recipe.Old(); old != nil && l.Snapshot.Before(old.Snapshot) {
		return nil, errkind.Environmentf("the indexes are older than those that sdk/packages.lock was "+
			"made from (%s, %s): name a mirror that follows Debian with --debian-mirrors, or remove the "+
			"lock", l.Snapshot.Format(time.DateTime), old.Snapshot.Format(time.DateTime))
	}
	return l, nil
}
