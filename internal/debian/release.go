// release: the signed file at the top of a suite, which has the sums of its indexes.

package debian

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"buildsys/internal/ctxio"
	"buildsys/internal/safetext"
)

// MaxRelease bounds an InRelease file, and MaxIndexFile a packed index; Debian's have some 150 KB
// and 10 MB.
const (
	MaxRelease   = 8 << 20
	MaxIndexFile = 256 << 20
)

// Release is what such a file says.
type Release struct {
	Codename string
	Date     time.Time
	Until    time.Time // zero if it is valid for ever
	ByHash   bool      // indexes can be had by their sums, also when the next ones are there
	Indexes  map[string]Index
}

// Index is a file that a Release names.
type Index struct {
	SHA256 string
	Size   int64
}

// patience is how long keys and signatures may be looked at: a tree brings the keys, and a mirror
// the signatures, which may be large and many.
const patience = time.Minute

// ParseRelease reads an InRelease file, which one of the armored keys must have signed.
func ParseRelease(ctx context.Context, data, keys []byte) (*Release, error) {
	if len(data) > MaxRelease {
		return nil, fmt.Errorf("it has more than %d MiB", MaxRelease>>20)
	}
	text, err := ctxio.Within(ctx, patience, "checking its signature", func() (string, error) {
		return signedText(data, keys)
	})
	if err != nil {
		return nil, err
	}
	return parseRelease(text)
}

// signedText returns the text that one of the keys has signed.
func signedText(data, keys []byte) (string, error) {
	block, rest := clearsign.Decode(data)
	if block == nil {
		return "", errors.New("it is not signed within, as an InRelease file is")
	}
	if len(strings.TrimSpace(string(rest))) > 0 {
		return "", errors.New("something follows its signature")
	}
	ring, err := readKeys(keys)
	if err != nil {
		return "", fmt.Errorf("the keys that may sign it: %w", err)
	}
	if _, err := block.VerifySignature(ring, &packet.Config{}); err != nil {
		return "", fmt.Errorf("its signature: %s", safetext.Line(err.Error()))
	}
	return string(block.Plaintext), nil
}

// readKeys reads the blocks of armored keys in a file.
func readKeys(data []byte) (all openpgp.EntityList, err error) {
	const head = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
	for i, block := range strings.Split(string(data), head) {
		if i == 0 {
			continue
		}
		list, err := openpgp.ReadArmoredKeyRing(strings.NewReader(head + block))
		if err != nil {
			return nil, errors.New(safetext.Line(err.Error()))
		}
		all = append(all, list...)
	}
	if len(all) == 0 {
		return nil, errors.New("there are none")
	}
	return all, nil
}

func parseRelease(text string) (*Release, error) {
	r := &Release{Indexes: map[string]Index{}}
	section := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if rest, ok := strings.CutPrefix(line, " "); ok {
			if section == "SHA256" {
				if err := r.addIndex(strings.Fields(rest)); err != nil {
					return nil, err
				}
			}
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		section, value = name, strings.TrimSpace(value)
		var err error
		switch name {
		case "Codename":
			r.Codename = value
		case "Acquire-By-Hash":
			r.ByHash = value == "yes"
		case "Date":
			r.Date, err = parseDate(value)
		case "Valid-Until":
			r.Until, err = parseDate(value)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %q is not a date", name, safetext.Line(value))
		}
	}
	if r.Date.IsZero() || len(r.Indexes) == 0 {
		return nil, errors.New("it has no date, or no sums of indexes")
	}
	return r, nil
}

func parseDate(s string) (time.Time, error) {
	return time.Parse("Mon, _2 Jan 2006 15:04:05 MST", s)
}

func (r *Release) addIndex(fields []string) error {
	if len(fields) != 3 || !validSHA256(fields[0]) {
		return fmt.Errorf("%q is not a sum of an index", safetext.Line(strings.Join(fields, " ")))
	}
	size, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil || size < 0 {
		return fmt.Errorf("%q is not a size", safetext.Line(fields[1]))
	}
	r.Indexes[fields[2]] = Index{fields[0], size}
	return nil
}
