// errors: the errors of a fetch. Each names what was tried and what to do.

package fetch

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"buildsys/internal/errkind"
	"buildsys/internal/manifest"
	"buildsys/internal/safetext"
)

// Attempt is what one place returned: bytes with the wrong hash, or an error.
type Attempt struct {
	Place  string // directory path or URL, without credentials
	SHA512 string // of the bytes; empty if there are none
	Size   int64  // of the bytes
	Looks  string // what the bytes look like, if that helps: "an HTML page"
	Err    error  // why there are no bytes
	Hidden bool   // the bytes may be those of a server that is not public: nothing of them is shown
}

func (a Attempt) bad() bool { return a.SHA512 != "" }

func (a Attempt) String() string {
	if !a.bad() {
		return fmt.Sprintf("%s: %v", a.Place, a.Err)
	}
	if a.Hidden {
		return fmt.Sprintf("%s: has another sha512 (not shown: a proxy asked, so the server may not be "+
			"a public one, and the tree names it)", a.Place)
	}
	looks := ""
	if a.Looks != "" {
		looks = ", " + a.Looks
	}
	return fmt.Sprintf("%s: has sha512 %s (%d bytes%s)", a.Place, a.SHA512, a.Size, looks)
}

// warning returns the warning about a bad copy, after a good one with size bytes was found at from.
func (a Attempt) warning(j *job, from string, size int64) string {
	what := "differs from"
	switch {
	case a.Hidden:
	case a.Size < size:
		what = fmt.Sprintf("is %d bytes shorter than", size-a.Size)
	case a.Size > size:
		what = fmt.Sprintf("is %d bytes longer than", a.Size-size)
	}
	what += fmt.Sprintf(" the good one from %s", from)
	if a.Looks != "" {
		what += " (" + a.Looks + ")"
	}
	return fmt.Sprintf("%s has a wrong copy of %s: it %s; replace it", a.Place, j.name, what)
}

// IntegrityError reports that every copy of a source has other bytes than its manifest requires.
type IntegrityError struct {
	Name  string
	Where string // manifest:line
	Want  string // sha512 from the manifest, in hex
	Tried []Attempt
}

func (e *IntegrityError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "source %s of %s: no copy has the sha512 its manifest wants\n  wanted: sha512 %s",
		e.Name, e.Where, e.Want)
	same, copies := "", 0
	for _, t := range e.Tried {
		fmt.Fprintf(&b, "\n  %s", t)
		if !t.bad() {
			continue
		}
		copies++
		if copies == 1 {
			same = t.SHA512
		}
		if t.SHA512 != same || t.Looks != "" { // equal damage does not mean that the manifest is wrong
			same = ""
		}
	}
	if copies > 1 && same != "" {
		b.WriteString("\n  all copies agree with each other: most likely the sha512 in the manifest is " +
			"wrong or out of date")
	} else {
		b.WriteString("\n  replace the bad copy, or correct the sha512 in the manifest if it is the " +
			"wrong one")
	}
	return b.String()
}

// ErrorKind returns errkind.Integrity.
func (*IntegrityError) ErrorKind() errkind.Kind { return errkind.Integrity }

// MissingError reports that no place has a source.
type MissingError struct {
	Name    string
	Where   string // manifest:line
	Tried   []Attempt
	URL     string // upstream, without credentials
	Refused bool   // upstream was not asked because upstream downloads are off
	PutAt   string // path at which the user can put the file
}

func (e *MissingError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "source %s of %s ", e.Name, e.Where)
	switch {
	case e.Refused && len(e.Tried) == 0:
		b.WriteString("is not in the source store, no lookaside cache is set and upstream downloads " +
			"are off")
	case e.Refused:
		b.WriteString("is in no lookaside cache and upstream downloads are off")
	default:
		b.WriteString("could not be fetched from anywhere")
	}
	for _, t := range e.Tried {
		fmt.Fprintf(&b, "\n  %s", t)
	}
	if e.Refused {
		fmt.Fprintf(&b, "\n  set BUILDSYS_UPSTREAM_SOURCE_FALLBACK=true to download %s,\n  or put the "+
			"file at %s", e.URL, e.PutAt)
	} else {
		fmt.Fprintf(&b, "\n  check the network and the URL, or put the file at %s", e.PutAt)
	}
	return b.String()
}

// ErrorKind returns errkind.Environment.
func (*MissingError) ErrorKind() errkind.Kind { return errkind.Environment }

// StoreError is a failure of the store's disk. It means nothing about the source, and no other
// place can help.
type StoreError struct {
	Op   string
	Path string
	Err  error
}

func (e *StoreError) Error() string {
	if diskFull(e.Err) {
		return fmt.Sprintf("%s %s: no space left on the disk of the source store; free some, or set "+
			"BUILDSYS_CACHE_DIR to a "+
			"directory on another disk", e.Op, e.Path)
	}
	return fmt.Sprintf("source store: %s %s: %v", e.Op, e.Path, e.Err)
}

// ErrorKind returns errkind.Environment.
func (*StoreError) ErrorKind() errkind.Kind { return errkind.Environment }

func (e *StoreError) Unwrap() error { return e.Err }

func storeError(op, path string, err error) error {
	// Name the path once: fs.PathError and os.LinkError would repeat it.
	var no syscall.Errno
	if errors.As(err, &no) {
		err = no
	}
	return &StoreError{Op: op, Path: path, Err: err}
}

func diskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

func isStoreError(err error) bool {
	var e *StoreError
	return errors.As(err, &e)
}

// missing returns the error for a file that no place has.
func (j *job) missing(tried []Attempt) error {
	return &MissingError{Name: j.name, Where: j.where, Tried: tried, URL: safetext.Place(j.file.URL),
		Refused: !j.upstreamAllowed(), PutAt: j.putAt(j.file)}
}

// putAt returns the path at which a user can put f: in the first lookaside directory, or else in
// the store.
func (j *job) putAt(f manifest.ExternalFile) string {
	for _, pl := range j.lookasides() {
		if pl.path != "" {
			return pl.path
		}
	}
	return j.final
}
