// secrets: what no step of a tree's own Dockerfile sees, whatever names it: keys, logins, and what
// git keeps. Such a Dockerfile may ask for the whole tree, and foreign trees may have links to all
// of it. docs/own-dockerfile.md has the rules.

package plan

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"buildsys/internal/confined"
	"buildsys/internal/workspace"
)

// secretNames are files and directories, anywhere in a tree, that hold logins, keys, or the history
// and settings of a checkout. CI systems leave tokens in .git/config.
var secretNames = []string{".git", "sbkeys", ".env", ".netrc", "_netrc", ".docker", ".aws", ".ssh",
	".gnupg", ".kube", ".git-credentials", ".azure", ".boto", ".bzr", ".dockercfg", ".envrc", ".hg",
	".jj", ".m2", ".my.cnf", ".npmrc", ".pgpass", ".pypirc", ".s3cfg", ".svn", ".terraformrc",
	".vault-token", "id_dsa", "id_ecdsa", "id_ed25519", "id_rsa", "kubeconfig"}

// homeConfig is where programs keep logins if the tree is the home directory of a CI job. Deeper
// ones are settings of the programs there.
const homeConfig = ".config"

// profileFiles are in folders of Secure Boot keys, whatever those are called.
var profileFiles = []string{"PK.key", "KEK.key", "db.key", "vendor.key", "code-sign.key",
	"config-sign.key", "shim-sign.key", "uki-sign.key", "PK.crt", "kms-sign.json"}

// maxKeyFile is how much of a file is searched for a private key. Files with keys and chains of
// certificates have some kilobytes.
const maxKeyFile = 1 << 20

// secrets decides what steps do not see. Paths are slash paths in the tree.
type secrets struct {
	tree fs.FS
	real map[string]string // directory -> the same without links; "" if it is not in the tree
	hid  map[string]string // directory without links -> the directory at or above it that is hidden
	kept map[string]string // file without links -> itself if it is hidden
	out  map[string]bool   // what was hidden, for the warning
}

func newSecrets(tree fs.FS) *secrets {
	return &secrets{tree: tree, real: map[string]string{".": "."}, hid: map[string]string{".": ""},
		kept: map[string]string{}, out: map[string]bool{}}
}

// hides reports whether a file of the tree is hidden: by its name, its contents, or the directory
// that it is in once all links are resolved. What is not in the tree is hidden.
func (s *secrets) hides(name string) bool {
	return s.because(name, func(to string) string {
		return cmp.Or(s.hidden(path.Dir(to)), s.hiddenFile(to))
	})
}

// hidesDir is hides for a directory.
func (s *secrets) hidesDir(name string) bool { return s.because(name, s.hidden) }

// hidesLink is hides for a symlink, which shows only where it leads.
func (s *secrets) hidesLink(name string) bool {
	return secretName(path.Base(name)) || s.hidesDir(path.Dir(name))
}

// hidesAny is hides for something that may be a directory.
func (s *secrets) hidesAny(name string) bool {
	info, err := fs.Stat(s.tree, name)
	return s.hides(name) || err == nil && info.IsDir() && s.hidesDir(name)
}

func (s *secrets) because(name string, hidden func(real string) string) bool {
	why := name
	if to := s.resolve(name, 0); to != "" {
		why = hidden(to)
	}
	if why != "" {
		s.out[why] = true
	}
	return why != ""
}

// maxTreeLinks is how many links a path may go through, as in Linux.
const maxTreeLinks = 40

// resolve returns a path without links, or "" if they lead out of the tree or in a circle.
func (s *secrets) resolve(name string, links int) string {
	if to, ok := s.real[name]; ok {
		return to
	}
	if links > maxTreeLinks || !fs.ValidPath(name) {
		return ""
	}
	dir := s.resolve(path.Dir(name), links)
	if dir == "" {
		return ""
	}
	at := path.Join(dir, path.Base(name))
	to, err := fs.ReadLink(s.tree, at)
	if err != nil {
		s.real[name] = at
		return at
	}
	if path.IsAbs(to) {
		return ""
	}
	to = s.resolve(path.Join(dir, to), links+1)
	s.real[name] = to
	return to
}

// hidden returns the topmost directory at or above one without links that is hidden, or "".
func (s *secrets) hidden(dir string) string {
	if why, ok := s.hid[dir]; ok {
		return why
	}
	why := s.hidden(path.Dir(dir))
	if why == "" && (dir == buildTop || dir == homeConfig || secretName(path.Base(dir)) ||
		s.foreignDir(dir)) {
		why = dir
	}
	s.hid[dir] = why
	return why
}

func secretName(base string) bool {
	base = strings.ToLower(base)
	return slices.Contains(secretNames, base) || strings.HasPrefix(base, ".env.")
}

// foreignDir reports whether a directory is another checkout, a bare repository, or a folder of
// Secure Boot keys.
func (s *secrets) foreignDir(dir string) bool {
	entries, err := confined.ReadDir(s.tree, dir)
	if err != nil {
		return false
	}
	names := map[string]bool{}
	for _, e := range entries {
		names[e.Name()] = true
		if e.Name() == ".git" && !s.submodule(path.Join(dir, ".git"), e) {
			return true
		}
	}
	return names["HEAD"] && names["objects"] && names["refs"] ||
		slices.ContainsFunc(profileFiles, func(name string) bool { return names[name] })
}

// submodule reports whether a .git names a repository among those of the checkout around the tree.
func (s *secrets) submodule(at string, e fs.DirEntry) bool {
	if !e.Type().IsRegular() {
		return false
	}
	text, err := s.head(at)
	to, ok := strings.CutPrefix(string(text), "gitdir: ")
	return err == nil && ok && strings.Contains(to, ".git/modules/")
}

// hiddenFile returns a file without links if it is hidden, and else "".
func (s *secrets) hiddenFile(name string) string {
	if why, ok := s.kept[name]; ok {
		return why
	}
	why := ""
	if base := path.Base(name); secretName(base) || !isSource(name) && s.hasKey(name) ||
		path.Base(path.Dir(name)) == cargoTop && strings.HasPrefix(base, "credentials") {
		why = name
	}
	s.kept[name] = why
	return why
}

// isSource reports whether a file without links is a source of the OS. Keys that the tests of its
// programs need are among those, and no secrets.
func isSource(name string) bool {
	return strings.HasPrefix(name, "sources/") || strings.HasPrefix(name, "packages/")
}

// hasKey reports whether a file, by its ending and contents, holds a private key. Only text can
// show that it does not.
func (s *secrets) hasKey(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".p12", ".pfx":
		return true
	case ".key", ".pem":
	default:
		return false
	}
	text, err := s.head(name)
	return err != nil || len(text) == maxKeyFile || bytes.Contains(text, []byte("PRIVATE KEY")) ||
		!bytes.Contains(text, []byte("-----BEGIN "))
}

// head returns the first bytes of a regular file.
func (s *secrets) head(name string) ([]byte, error) {
	info, err := fs.Lstat(s.tree, name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	f, err := s.tree.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxKeyFile))
}

// visible returns those of files that are not hidden. Their names are below dir.
func (s *secrets) visible(files []workspace.File, dir string) []File {
	return contextFiles(slices.DeleteFunc(files, func(f workspace.File) bool {
		name := path.Join(dir, f.Name)
		return f.Link != "" && s.hidesLink(name) || f.Link == "" && s.hides(name)
	}))
}

// visibleFar is visible for files that are listed because of where they are. Only those reached
// through symlinks may be hidden.
func (s *secrets) visibleFar(files []workspace.File, dir string) []File {
	return contextFiles(slices.DeleteFunc(files, func(f workspace.File) bool {
		return f.Far && s.hides(path.Join(dir, f.Name))
	}))
}

// maxNamed is how many paths a warning names.
const maxNamed = 20

// warnings returns what was left out, if that is more than every checkout has.
func (s *secrets) warnings() []string {
	var names []string
	for name := range s.out {
		if name != ".git" && name != buildTop {
			names = append(names, fmt.Sprintf("%q", name))
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	more := ""
	if n := len(names) - maxNamed; n > 0 {
		names, more = names[:maxNamed], fmt.Sprintf(" and %d more", n)
	}
	return []string{"builds do not see what may hold keys or logins, or belongs to another " +
		"checkout: " + strings.Join(names, ", ") + more}
}
