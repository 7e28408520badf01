// list: sdk/packages.list, the packages that an SDK is asked for.

package sdk

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"buildsys/internal/safetext"
)

// Files of a recipe, below sdk/.
const (
	listFile = "packages.list"
	LockFile = "packages.lock"
	keysFile = "debian.asc" // that sign Debian's indexes
)

// Hosts are the machines that an SDK can be made for, by Debian's names, which are Go's.
var Hosts = []string{"amd64", "arm64"}

// List is what packages.list says.
type List struct{ lines []listed }

type listed struct {
	name  string   // "gcc" or "systemd-boot-efi:arm64"
	hosts []string // empty for all
}

// ParseList reads a packages.list: a package on each line, perhaps with the hosts that have it, as
// in "libc6-dev-arm64-cross [amd64]".
func ParseList(data []byte) (l List, err error) {
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		line, _, _ = strings.Cut(line, "#")
		name, hosts, restricted := strings.Cut(line, "[")
		name = strings.TrimSpace(name)
		one := listed{name: name}
		if restricted {
			hosts, restricted = strings.CutSuffix(strings.TrimSpace(hosts), "]")
			one.hosts = strings.Fields(hosts)
			if !restricted || len(one.hosts) == 0 || slices.ContainsFunc(one.hosts,
				func(h string) bool { return !slices.Contains(Hosts, h) }) {
				return l, fmt.Errorf("line %d: %q is not a list of hosts, which are %s", n,
					safetext.Line("["+hosts), strings.Join(Hosts, " and "))
			}
		}
		if name == "" && !restricted {
			continue
		}
		if strings.ContainsAny(name, " \t") || name == "" {
			return l, fmt.Errorf("line %d: %q is not the name of one package", n, safetext.Line(name))
		}
		l.lines = append(l.lines, one)
	}
	if len(l.lines) == 0 {
		return l, errors.New("it names no package")
	}
	return l, nil
}

// For returns the packages for a host.
func (l List) For(host string) (names []string) {
	for _, one := range l.lines {
		if len(one.hosts) == 0 || slices.Contains(one.hosts, host) {
			names = append(names, one.name)
		}
	}
	return names
}

// Sum identifies what the list asks for, whatever its order and comments.
func (l List) Sum() string {
	var all []string
	for _, one := range l.lines {
		all = append(all, fmt.Sprintf("%q %q\n", one.name, one.hosts))
	}
	slices.Sort(all)
	sum := sha256.Sum256([]byte(strings.Join(all, "")))
	return fmt.Sprintf("%x", sum[:8])
}

// readRecipe reads a file of a recipe.
func readRecipe(recipe fs.FS, name string) ([]byte, error) {
	f, err := recipe.Open("sdk/" + name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, name)
}
