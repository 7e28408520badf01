// holes: files with holes in archives.

package ctxio

import "archive/tar"

// HasHoles reports whether a member of an archive has holes (GNU.sparse.* in its PAX records): a
// few bytes of the archive then claim any size, and reading them reads nothing of the archive, so
// neither a limit on that nor its context would end it.
func HasHoles(h *tar.Header) bool {
	return h.Typeflag == tar.TypeGNUSparse || h.PAXRecords["GNU.sparse.major"] != "" ||
		h.PAXRecords["GNU.sparse.map"] != ""
}
