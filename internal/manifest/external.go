// external.go: the file name an external file gets, on disk and in the caches.

package manifest

import (
	"net/url"
	"strings"
)

// Name returns the file name of e: its path key, or else the last segment of its URL, as written there (query and fragment
// removed, percent escapes kept, so that a lookaside cache filled by other tools is found). It is empty when the URL has no
// such segment; the manifest check refuses that.
func (e ExternalFile) Name() string {
	if e.Path != "" {
		return e.Path
	}
	u, err := url.Parse(e.URL)
	if err != nil {
		return ""
	}
	p := u.EscapedPath()
	return p[strings.LastIndexByte(p, '/')+1:]
}
