// goproxy: the proxies in the environment variable GOPROXY, or another one in its form, and
// requests to them.

package fetch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"

	"buildsys/internal/errkind"
	"buildsys/internal/git"
)

// proxy is one element of GOPROXY.
type proxy struct {
	base   string // URL, or "direct" or "off"
	anyErr bool   // continue with the next one after any error, not only if the module does not exist
}

func (s *Store) goProxy() string {
	if s.GoProxy == nil {
		return ""
	}
	return s.GoProxy()
}

// proxies parses GOPROXY: elements, each followed by "," (continue if the module does not exist) or
// "|" (continue after any error).
func proxies(setting string) []proxy {
	var all []proxy
	for setting != "" {
		i := strings.IndexAny(setting, ",|")
		base, after := setting, ""
		if i >= 0 {
			base, after, setting = setting[:i], setting[i:i+1], setting[i+1:]
		} else {
			setting = ""
		}
		if base = strings.TrimSpace(base); base != "" {
			all = append(all, proxy{base: base, anyErr: after == "|"})
		}
	}
	return all
}

var (
	errDirect = errors.New("buildsys asks module proxies only, not version control systems")
	errOff    = errors.New("it forbids fetching")
)

// sumError reports that a proxy has other bytes than a go.sum requires.
type sumError struct{ err error }

func (e *sumError) Error() string { return e.err.Error() }

// label returns the proxy's name for messages, without credentials.
func (x proxy) label(setting string) string {
	if x.base == "direct" || x.base == "off" {
		return fmt.Sprintf("%s element %q", setting, x.base)
	}
	return redact(x.base)
}

// parsed returns the URL of a proxy.
func (x proxy) parsed() (*url.URL, error) {
	u, err := url.Parse(x.base)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "file") {
		return nil, errors.New("not an http, https or file URL")
	}
	return u, nil
}

// load brings a file into p.
func (x proxy) load(ctx context.Context, m *pinned, p *part) error {
	if x.base == "direct" {
		return errDirect
	}
	u, err := x.parsed()
	if err != nil {
		return err
	}
	at := place{label: x.label(m.setting)}
	if u.Scheme == "file" {
		at.path = filepath.Join(u.Path, filepath.FromSlash(m.name))
	} else {
		at.url = strings.TrimSuffix(x.base, "/") + "/" + m.name
	}
	_, err = at.load(ctx, m.job, p)
	return err
}

// goOn reports whether to ask the next proxy after this one failed. Wrong bytes count as a missing
// module.
func (x proxy) goOn(err error) bool {
	status := new(statusError)
	missing := errors.As(err, &status) && (status.code == http.StatusNotFound ||
		status.code == http.StatusGone)
	return missing || errors.Is(err, errNotThere) || errors.Is(err, git.ErrNotThere) ||
		x.anyErr || errors.As(err, new(*sumError))
}

// ModuleError reports that no proxy has a Go module with the bytes that a go.sum requires.
type ModuleError struct {
	Module string // "golang.org/x/text@v0.3.0", perhaps with "go.mod of " in front
	Of     string // the archive or directory whose go.sum names it
	Where  string // manifest:line
	Want   string // "h1:…"
	Bad    bool   // a proxy has other bytes
	Tried  []Attempt
}

// Error names every proxy that was asked.
func (e *ModuleError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Go module %s, which the go.sum of %s (%s) names, ", e.Module, e.Of, e.Where)
	if e.Bad {
		fmt.Fprintf(&b, "has a wrong sum wherever it exists\n  wanted: sum %s", e.Want)
	} else {
		b.WriteString("could not be fetched")
	}
	for _, t := range e.Tried {
		fmt.Fprintf(&b, "\n  %s: %v", t.Place, t.Err)
	}
	if e.Bad {
		b.WriteString("\n  the proxy or the archive was tampered with, or the version was published " +
			"twice: ask who runs them")
	} else {
		b.WriteString("\n  set GOPROXY to a module proxy that has it, as in https://proxy.example.com " +
			"or file:///a/directory")
	}
	return b.String()
}

// ErrorKind returns errkind.Integrity if a proxy has other bytes, and errkind.Environment
// otherwise.
func (e *ModuleError) ErrorKind() errkind.Kind {
	if e.Bad {
		return errkind.Integrity
	}
	return errkind.Environment
}
