package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"buildsys/internal/buildtest/need"
)

// git runs git as a user does, with the settings of a user who has none.
func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %q: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// user makes this process one of a user without settings.
func user(t *testing.T) {
	t.Helper()
	need.Program(t, "git")
	for _, name := range []string{"GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"} {
		t.Setenv(name, os.DevNull)
	}
	for _, name := range []string{"GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME",
		"GIT_COMMITTER_EMAIL"} {
		t.Setenv(name, "somebody")
	}
}

// checkout makes a checkout with a tree in os/, and returns its directory.
func checkout(t *testing.T) string {
	t.Helper()
	user(t)
	dir := filepath.Join(t.TempDir(), "with space")
	write(t, filepath.Join(dir, "os/Release.toml"), "version = \"1\"\n", 0o644)
	write(t, filepath.Join(dir, "README"), "a tree\n", 0o644)
	git(t, dir, "init", "--quiet", "--initial-branch=main")
	git(t, dir, "add", ".")
	git(t, dir, "commit", "--quiet", "-m", "first")
	return dir
}

func write(t *testing.T, file, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func commitOf(t *testing.T, root string) string {
	t.Helper()
	commit, err := Commit(t.Context(), root)
	if err != nil {
		t.Errorf("%s: %v", root, err)
	}
	return commit
}

func TestCommit(t *testing.T) {
	dir := checkout(t)
	root := filepath.Join(dir, "os")
	want := git(t, dir, "rev-parse", "--short=8", "HEAD")
	if got := commitOf(t, root); got != want || len(got) != 8 {
		t.Errorf("commit %q, want %q", got, want)
	}
	worktree := filepath.Join(t.TempDir(), "other")
	git(t, dir, "worktree", "add", "--quiet", worktree)
	if got := commitOf(t, filepath.Join(worktree, "os")); got != want {
		t.Errorf("in another work tree: %q, want %q", got, want)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(root, link); err != nil {
		t.Fatal(err)
	}
	if got := commitOf(t, link); got != want {
		t.Errorf("through a link: %q, want %q", got, want)
	}
	write(t, filepath.Join(root, "untracked"), "x", 0o644)
	if got := commitOf(t, root); got != want {
		t.Errorf("with an untracked file: %q, want %q", got, want)
	}
	// A hook of git runs its programs with these.
	t.Setenv("GIT_DIR", filepath.Join(t.TempDir(), "nowhere"))
	t.Setenv("GIT_INDEX_FILE", filepath.Join(t.TempDir(), "nothing"))
	write(t, filepath.Join(dir, "README"), "a changed tree\n", 0o644)
	if got := commitOf(t, root); got != want+"-dirty" {
		t.Errorf("with a changed file: %q, want %q", got, want+"-dirty")
	}
}

func TestCommitTime(t *testing.T) {
	dir := checkout(t)
	want := git(t, dir, "log", "-1", "--format=%ct")
	got, err := CommitTime(t.Context(), filepath.Join(dir, "os"))
	if err != nil || fmt.Sprint(got) != want {
		t.Errorf("%d, %v, want %s", got, err, want)
	}
	if _, err := CommitTime(t.Context(), t.TempDir()); !errors.Is(err, ErrNone) {
		t.Errorf("outside of a checkout: %v", err)
	}
}

func TestNoCommit(t *testing.T) {
	user(t)
	empty := t.TempDir()
	git(t, empty, "init", "--quiet")
	for name, root := range map[string]string{"no checkout": t.TempDir(), "no commit": empty} {
		if commit, err := Commit(t.Context(), root); !errors.Is(err, ErrNone) {
			t.Errorf("%s: %q, %v", name, commit, err)
		}
	}
	dir := checkout(t)
	t.Setenv("PATH", t.TempDir())
	if commit, err := Commit(t.Context(), dir); !errors.Is(err, ErrNone) {
		t.Errorf("no git: %q, %v", commit, err)
	}
}

// TestCommitOfTreeWithBareRepository has a tree with a repository's files beside Release.toml,
// which a commit may hold. git would take it for the one to look at.
func TestCommitOfTreeWithBareRepository(t *testing.T) {
	dir := checkout(t)
	root, ran := filepath.Join(dir, "os"), filepath.Join(t.TempDir(), "ran")
	git(t, root, "clone", "--quiet", "--bare", dir, "bare.git")
	for _, name := range []string{"HEAD", "objects", "refs", "packed-refs", "config"} {
		_ = os.Rename(filepath.Join(root, "bare.git", name), filepath.Join(root, name))
	}
	git(t, root, "config", "--file", "config", "core.bare", "false")
	git(t, root, "config", "--file", "config", "core.worktree", ".")
	git(t, root, "config", "--file", "config", "core.fsmonitor", "touch '"+ran+"'; false")
	if err := os.RemoveAll(filepath.Join(root, "bare.git")); err != nil {
		t.Fatal(err)
	}
	git(t, dir, "add", ".")
	git(t, dir, "commit", "--quiet", "-m", "second")
	want := git(t, dir, "rev-parse", "--short=8", "HEAD")
	if got := commitOf(t, root); got != want {
		t.Errorf("commit %q, want %q", got, want)
	}
	if _, err := os.Lstat(ran); err == nil {
		t.Error("git ran the program of the repository in the tree")
	}
}

// TestCommitRunsNothingOfTheRepository has a repository, as in an archive that somebody unpacked,
// whose configuration names a program wherever git runs one to tell a commit and its changes.
func TestCommitRunsNothingOfTheRepository(t *testing.T) {
	dir := checkout(t)
	write(t, filepath.Join(dir, ".gitattributes"),
		"* filter=evil diff=evil\n*.toml filter=e.x\n", 0o644)
	git(t, dir, "add", ".")
	git(t, dir, "commit", "--quiet", "-m", "second")
	sub := filepath.Join(dir, "sub")
	git(t, dir, "clone", "--quiet", dir, sub)
	git(t, dir, "add", "sub")
	git(t, dir, "commit", "--quiet", "-m", "third")
	ran := filepath.Join(t.TempDir(), "ran")
	program := filepath.Join(t.TempDir(), "program")
	write(t, program, "#!/bin/sh\necho \"$0 $*\" >>'"+ran+"'\ncat\n", 0o755)
	for _, at := range []string{dir, sub} {
		for _, key := range []string{"core.fsmonitor", "filter.evil.clean", "filter.evil.smudge",
			"filter.e.x.process", "diff.evil.command", "diff.evil.textconv", "diff.external", "core.pager",
			"core.editor", "core.sshCommand", "core.alternateRefsCommand", "remote.origin.uploadpack",
			"alias.status", "core.askPass", "core.gitProxy", "gpg.program"} {
			git(t, at, "config", key, program)
		}
		for key, value := range map[string]string{"filter.evil.required": "true",
			"filter.e.x.required": "true", "core.untrackedCache": "true", "submodule.recurse": "true",
			"status.submoduleSummary": "true", "remote.origin.promisor": "true",
			"remote.origin.url": "ext::" + program, "protocol.ext.allow": "always",
			"extensions.partialClone": "origin", "core.repositoryFormatVersion": "1"} {
			git(t, at, "config", key, value)
		}
		for _, hook := range []string{"post-index-change", "fsmonitor-watchman"} {
			write(t, filepath.Join(at, ".git/hooks", hook), "#!/bin/sh\nexec "+program+"\n", 0o755)
		}
		// Same size and another time: only the contents tell.
		write(t, filepath.Join(at, "README"), "A TREE\n", 0o644)
	}
	if err := os.Remove(ran); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if got := commitOf(t, dir); !regexp.MustCompile(`^[0-9a-f]{8,}-dirty$`).MatchString(got) {
		t.Errorf("commit %q", got)
	}
	// An object is missing, which a repository of this kind fetches.
	tree := git(t, dir, "-c", "core.fsmonitor=false", "rev-parse", "HEAD^{tree}")
	if err := os.Remove(filepath.Join(dir, ".git/objects", tree[:2], tree[2:])); err != nil {
		t.Fatal(err)
	}
	if commit, err := Commit(t.Context(), dir); err == nil {
		t.Errorf("an object is missing: commit %q", commit)
	}
	if text, err := os.ReadFile(ran); err == nil {
		t.Errorf("git ran:\n%s", text)
	}
}

// TestCommitRefusesFilterItCannotSwitchOff has a filter whose name is no option of git's.
func TestCommitRefusesFilterItCannotSwitchOff(t *testing.T) {
	dir := checkout(t)
	git(t, dir, "config", "filter.a=b.clean", "false")
	if commit, err := Commit(t.Context(), dir); err == nil ||
		!strings.Contains(err.Error(), "a filter a=b") {
		t.Errorf("commit %q, %v", commit, err)
	}
}

// TestCommitOfCheckoutOfAnotherOwner checks that git decides whose checkouts count, and that the
// error says what to do.
func TestCommitOfCheckoutOfAnotherOwner(t *testing.T) {
	need.Root(t)
	t.Setenv("SUDO_UID", "")
	dir := checkout(t)
	want := git(t, dir, "rev-parse", "--short=8", "HEAD")
	if err := os.Chown(dir, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	commit, err := Commit(t.Context(), filepath.Join(dir, "os"))
	advice := "belongs to another user (UID 65534, and this process has 0); if you trust what it " +
		"holds: git config --global --add safe.directory '" + dir + "'"
	if err == nil || errors.Is(err, ErrNone) || !strings.Contains(err.Error(), advice) {
		t.Errorf("commit %q, error %v", commit, err)
	}
	settings := filepath.Join(t.TempDir(), "gitconfig")
	write(t, settings, "[safe]\n\tdirectory = \""+dir+"\"\n", 0o644)
	t.Setenv("GIT_CONFIG_GLOBAL", settings)
	if got := commitOf(t, dir); got != want {
		t.Errorf("with safe.directory: commit %q, want %q", got, want)
	}
}

// TestFindFollowsNoLinks has a .git of every kind that is neither a directory nor names one.
func TestFindFollowsNoLinks(t *testing.T) {
	repo := checkout(t)
	for name, make := range map[string]func(at string) error{
		"a link": func(at string) error { return os.Symlink(filepath.Join(repo, ".git"), at) },
		"a FIFO": func(at string) error { return syscall.Mkfifo(at, 0o600) },
		"a file that names nothing": func(at string) error {
			return os.WriteFile(at, []byte("gitdir: nowhere\n"), 0o600)
		},
		"a file that names a link": func(at string) error {
			if err := os.Symlink(filepath.Join(repo, ".git"), at+"link"); err != nil {
				return err
			}
			return os.WriteFile(at, []byte("gitdir: .gitlink\n"), 0o600)
		},
		"a large file": func(at string) error { return os.WriteFile(at, nil, 0o600) },
	} {
		dir := t.TempDir()
		at := filepath.Join(dir, ".git")
		if err := make(at); err != nil {
			t.Fatal(err)
		}
		if name == "a large file" {
			if err := os.Truncate(at, 1<<40); err != nil {
				t.Fatal(err)
			}
		}
		c, err := Find(dir)
		if err == nil || errors.Is(err, ErrNone) || !strings.Contains(err.Error(), at) {
			t.Errorf("%s: %v, %v", name, c, err)
		}
	}
}

func TestHistoryFile(t *testing.T) {
	dir := checkout(t)
	worktree := filepath.Join(t.TempDir(), "other")
	git(t, dir, "worktree", "add", "--quiet", worktree)
	for _, root := range []string{dir, worktree} {
		c, err := Find(root)
		if err != nil {
			t.Fatal(err)
		}
		want := git(t, root, "rev-parse", "--path-format=absolute", "--git-path", "logs/HEAD")
		if got := c.HistoryFile(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// TestCallEnds cancels a git that waits, and has one that writes without end.
func TestCallEnds(t *testing.T) {
	user(t)
	bin := t.TempDir()
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	fifo := filepath.Join(bin, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(bin, "git"), "#!/bin/sh\nread x <'"+fifo+"'\n", 0o755)
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if _, err := call(ctx, bin, nil, "status"); !errors.Is(err, cause) {
		t.Errorf("cancelled: %v", err)
	}
	write(t, filepath.Join(bin, "git"),
		fmt.Sprintf("#!/bin/sh\nhead -c %d /dev/zero\n", 2*maxOutput), 0o755)
	if _, err := call(t.Context(), bin, nil, "status"); err == nil ||
		!strings.Contains(err.Error(), fmt.Sprintf("more than %d bytes", maxOutput)) {
		t.Errorf("endless output: %v", err)
	}
	write(t, filepath.Join(bin, "git"),
		"#!/bin/sh\nprintf '\\033[2J\\n::error::x' >&2\nexit 1\n", 0o755)
	if _, err := call(t.Context(), bin, nil, "status"); err == nil ||
		strings.ContainsAny(err.Error(), "\x1b\n") {
		t.Errorf("words of git: %q", err)
	}
}

// TestUntracked: a file that takes part in the build and is in no commit makes an image that no
// commit describes. Others do not, and neither does what git was told to ignore.
func TestUntracked(t *testing.T) {
	dir := checkout(t)
	root := filepath.Join(dir, "os")
	write(t, filepath.Join(root, "packages/a/a.spec"), "Name: a\n", 0o644)
	write(t, filepath.Join(root, ".gitignore"), "*.log\n/build/\n", 0o644)
	git(t, dir, "add", ".")
	git(t, dir, "commit", "--quiet", "-m", "second")
	want := git(t, dir, "rev-parse", "--short=8", "HEAD")
	is := func(when, want string) {
		t.Helper()
		got, err := Commit(t.Context(), root, "packages", ":(glob)variants", "Release.toml")
		if err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", when, got, err, want)
		}
	}
	is("a clean checkout", want)
	write(t, filepath.Join(root, "build/x"), "x", 0o644)
	write(t, filepath.Join(root, "notes"), "x", 0o644)
	write(t, filepath.Join(dir, "packages/b"), "beside the tree", 0o644)
	write(t, filepath.Join(root, "packages/a/build.log"), "x", 0o644)
	is("files that take no part", want)
	write(t, filepath.Join(root, "packages/b/b.spec"), "Name: b\n", 0o644)
	is("a package that git does not know", want+"-dirty")
}
