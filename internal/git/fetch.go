// Fetch: the objects of one commit of a repository elsewhere. Neither the repository's address nor
// what it sends is trusted; the commit's ID says what it has to be.

package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Remote is a repository elsewhere.
type Remote struct {
	URL string // https, http or file
	// Proxy is the URL of the proxy for https and http. The user's settings of git and of proxies do
	// not count there.
	Proxy     string
	Authority string // a file with certificates of authorities instead of the system's; "": none
	Redirects bool   // follow that of the first request
	MaxBytes  uint64 // of the packed objects
}

// ErrNotThere means that a server has no such repository, or no such commit in it.
var ErrNotThere = errors.New("not there")

// missing is what git says then; unadvertised, what it says of a server that gives only what a
// branch or tag is at.
var (
	missing = regexp.MustCompile(`not our ref|repository '[^']*' not found|` +
		`does not appear to be a git repo|couldn't find remote ref`)
	unadvertised = regexp.MustCompile(`unadvertised object`)
)

// bare are settings for what is received: no work of its own beside it, one pack, no other
// repository, and nothing that names one.
var bare = []string{
	"-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", "fetch.unpackLimit=1",
	"-c", "fetch.fsckObjects=false", "-c", "transfer.bundleURI=false", "-c", "fetch.bundleURI=",
	"-c", "protocol.version=2", "-c", "credential.helper=", "-c", "http.sslVerify=true",
	"-c", "http.cookieFile=", "-c", "http.extraHeader=", "-c", "core.gitProxy=", "-c", "core.askPass=",
	"-c", "core.alternateRefsCommand=", "-c", "core.sshCommand=false",
}

// FetchObjects writes the objects of a commit to out: the commit itself, and the trees and blobs of
// its files, each once, in the form of "git cat-file --batch". Their IDs are right, for git
// computes them of what it receives. dir is an empty directory for git to work in. Submodules
// are not asked.
func FetchObjects(ctx context.Context, dir string, from Remote, commit string,
	out io.Writer) error {
	format := "--object-format=sha1"
	if len(commit) == 64 {
		format = "--object-format=sha256"
	}
	if _, err := call(ctx, dir, noUser, "init", "--quiet", "--bare", "--template=", format,
		dir); err != nil {
		return err
	}
	err := from.fetch(ctx, dir, []string{"--depth=1"}, commit)
	if err != nil && unadvertised.MatchString(err.Error()) {
		err = from.fetch(ctx, dir, nil, "refs/heads/*:refs/heads/*", "refs/tags/*:refs/tags/*")
		if err == nil {
			if _, none := call(ctx, dir, noUser, "--git-dir="+dir, "cat-file", "-e", commit); none != nil {
				err = fmt.Errorf("%w: the repository has no such commit", ErrNotThere)
			}
		}
	}
	if err != nil {
		return err
	}
	list, err := call(ctx, dir, noUser, "--git-dir="+dir, "rev-list", "--objects",
		"--no-object-names", "--max-count=1", commit)
	if err != nil {
		return err
	}
	taker := &taker{w: out}
	err = command{dir: dir, env: noUser, in: strings.NewReader(list), out: taker, waits: true,
		args: []string{"--git-dir=" + dir, "cat-file", "--batch"}}.run(ctx)
	if taker.err != nil { // of which git only notices that nobody reads
		err = taker.err
	}
	return err
}

// taker is a writer that keeps its error.
type taker struct {
	w   io.Writer
	err error
}

func (t *taker) Write(b []byte) (n int, err error) {
	n, t.err = t.w.Write(b)
	return n, t.err
}

// fetch brings objects into the repository in dir: those of refs, and what they need.
func (r Remote) fetch(ctx context.Context, dir string, options []string, refs ...string) error {
	protocol, _, _ := strings.Cut(r.URL, "://")
	args := append([]string{}, bare...)
	env := []string{"GIT_ALLOW_PROTOCOL=" + protocol, "GIT_ASKPASS=", "SSH_ASKPASS="}
	if protocol != "file" { // there, the user's safe.directory may be needed
		env = append(append(env, noUser...), r.surroundings(dir)...)
		follow := "http.followRedirects=false"
		if r.Redirects {
			follow = "http.followRedirects=initial"
		}
		args = append(args, "-c", follow)
		if r.Authority != "" {
			args = append(args, "-c", "http.sslCAInfo="+r.Authority)
		}
	}
	args = append(args, "--git-dir="+dir, "fetch", "--quiet", "--no-tags", "--no-recurse-submodules")
	args = append(append(append(args, options...), "--", r.URL), refs...)
	err := command{dir: dir, env: env, args: args, out: io.Discard, limit: r.MaxBytes,
		waits: true}.run(ctx)
	if err != nil && ctx.Err() == nil && missing.MatchString(err.Error()) {
		return fmt.Errorf("%w: %w", ErrNotThere, err)
	}
	return err
}

// surroundings keeps git, and the library that makes its requests, from what the user's directory
// has for them (.gitconfig, .netrc). The proxy may have a password, which arguments would show to
// all users of the machine.
func (r Remote) surroundings(dir string) []string {
	env := []string{"HOME=" + filepath.Join(dir, "none"), "XDG_CONFIG_HOME=" + os.DevNull,
		"NO_PROXY=", "no_proxy="}
	for _, name := range []string{"http_proxy", "https_proxy", "all_proxy"} {
		env = append(env, name+"="+r.Proxy, strings.ToUpper(name)+"="+r.Proxy)
	}
	return env
}
