// verify: whether what upstream says besides a file, a signature or a list of sums, vouches for it.

package upstream

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"

	"buildsys/internal/ctxio"
	"buildsys/internal/safetext"
)

// MaxProof bounds signatures, keys and lists of sums, in bytes. The largest lists have some
// megabytes.
const MaxProof = 8 << 20

// maxSignature bounds a detached signature; those with many certificates have some 10 KiB.
const maxSignature = 256 << 10

// Keys are public keys of OpenPGP.
type Keys struct {
	list openpgp.EntityList
	from map[*openpgp.Entity]string
}

const (
	armorHead = "-----BEGIN PGP "
	armorEnd  = "-----END PGP "
)

// patience is how long keys and signatures may be looked at. Those of others may be so large, and
// vouch for one another so often, that it would take days.
const patience = 5 * time.Minute

// Add adds the keys in a file, armored or not. from names it.
func (k *Keys) Add(ctx context.Context, from string, data []byte) error {
	if len(data) > MaxProof {
		return fmt.Errorf("it has more than %d MiB", MaxProof>>20)
	}
	list, err := ctxio.Within(ctx, patience, "reading its keys", func() (openpgp.EntityList, error) {
		return readKeys(data)
	})
	if k.from == nil {
		k.from = map[*openpgp.Entity]string{}
	}
	for _, one := range list {
		k.from[one] = from
	}
	k.list = append(k.list, list...)
	return err
}

// readKeys reads the keys in a file, which may have several blocks. Each is read once, whatever
// begins in it.
func readKeys(data []byte) (all openpgp.EntityList, err error) {
	for rest := data; ; {
		at := bytes.Index(rest, []byte(armorHead+"PUBLIC KEY BLOCK"))
		if at < 0 {
			break
		}
		rest = rest[at:]
		end := len(rest)
		if at := bytes.Index(rest, []byte(armorEnd)); at >= 0 {
			end = at
			if n := bytes.IndexByte(rest[at:], '\n'); n >= 0 {
				end = at + n + 1
			} else {
				end = len(rest)
			}
		}
		list, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(rest[:end]))
		if err != nil {
			return all, err
		}
		all, rest = append(all, list...), rest[end:]
	}
	if bytes.Contains(data, []byte(armorHead)) {
		return all, nil
	}
	if all, err = openpgp.ReadKeyRing(bytes.NewReader(data)); err == nil && len(all) == 0 {
		err = errors.New("there is no key in it")
	}
	return all, err
}

// Len returns how many keys there are.
func (k *Keys) Len() int { return len(k.list) }

// Check returns who has signed the data, by the signature.
func (k *Keys) Check(ctx context.Context, data io.Reader, signature []byte) (signer string,
	err error) {
	if len(signature) > maxSignature {
		return "", fmt.Errorf("a signature of more than %d KiB", maxSignature>>10)
	}
	check := openpgp.CheckDetachedSignature
	if bytes.Contains(signature, []byte(armorHead)) {
		check = openpgp.CheckArmoredDetachedSignature
	}
	by, err := ctxio.Within(ctx, patience, "checking it", func() (*openpgp.Entity, error) {
		return check(k.list, data, bytes.NewReader(signature), nil)
	})
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if err != nil {
		return "", errors.New(safetext.Line(err.Error()))
	}
	return k.name(by), nil
}

// name names a key by its owner, which is only what the key says, its fingerprint, and its file.
func (k *Keys) name(by *openpgp.Entity) string {
	owner := ""
	if names := slices.Sorted(maps.Keys(by.Identities)); len(names) > 0 {
		owner = safetext.Line(names[0]) + ", "
	}
	return fmt.Sprintf("%skey %X of %s", owner, by.PrimaryKey.Fingerprint, k.from[by])
}

// Sums are the sums in a list of upstream's.
type Sums struct {
	Signer string              // who signed the list; empty if nobody was asked
	byName map[string][]string // sums in hex
}

var (
	sumLine = regexp.MustCompile(`^\\?([0-9a-fA-F]{32,128})\s+\*?(\S+)\s*$`)
	bsdLine = regexp.MustCompile(`^([A-Za-z0-9-]+) ?\(([^)]+)\) ?= ?([0-9a-fA-F]{32,128})\s*$`)
	oneSum  = regexp.MustCompile(`^\s*([0-9a-fA-F]{64}|[0-9a-fA-F]{128})\s*$`)
)

// ParseSums reads a list as sha256sum, shasum and BSD's sha256 write it, or a single sum. If it is
// signed within, and there are keys, they must be the signer's.
func ParseSums(ctx context.Context, data []byte, keys *Keys) (*Sums, error) {
	s := &Sums{byName: map[string][]string{}}
	if block, _ := clearsign.Decode(data); block != nil {
		data = block.Plaintext
		if keys.Len() > 0 {
			by, err := ctxio.Within(ctx, patience,
				"checking its signature", func() (*openpgp.Entity, error) {
					return block.VerifySignature(keys.list, nil)
				})
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			if err != nil {
				return nil, errors.New(safetext.Line(err.Error()))
			}
			s.Signer = keys.name(by)
		}
	}
	if m := oneSum.FindSubmatch(data); m != nil {
		s.byName["*"] = []string{strings.ToLower(string(m[1]))}
	}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimRight(line, "\r\n")
		name, sum := "", ""
		if m := sumLine.FindStringSubmatch(line); m != nil {
			sum, name = m[1], m[2]
		} else if m := bsdLine.FindStringSubmatch(line); m != nil {
			name, sum = m[2], m[3]
		}
		if name = path.Base(name); sum != "" {
			s.byName[name] = append(s.byName[name], strings.ToLower(sum))
		}
	}
	if len(s.byName) == 0 {
		return nil, errors.New("it has no line like those of sha256sum")
	}
	return s, nil
}

// Check returns by which kind of sum the list vouches for the file with a name: "sha256". All sums
// that it has of the file must be right; md5 and sha1 do not count.
func (s *Sums) Check(name string, data io.Reader) (kind string, err error) {
	listed := append(slices.Clone(s.byName[name]), s.byName["*"]...)
	if len(listed) == 0 {
		return "", fmt.Errorf("it does not list %s", name)
	}
	small, large := sha256.New(), sha512.New()
	if _, err := io.Copy(io.MultiWriter(small, large), data); err != nil {
		return "", err
	}
	for _, sum := range listed {
		is, what := "", ""
		switch len(sum) {
		case 2 * sha256.Size:
			is, what = hex.EncodeToString(small.Sum(nil)), "sha256"
		case 2 * sha512.Size:
			is, what = hex.EncodeToString(large.Sum(nil)), "sha512"
		default:
			continue
		}
		if is != sum {
			return "", fmt.Errorf("it lists another %s of %s: %s, and the file has %s", what, name, sum, is)
		}
		kind = what
	}
	if kind == "" {
		return "", fmt.Errorf("it has neither a sha256 nor a sha512 of %s", name)
	}
	return kind, nil
}

// signatureEnds are the ends of names of signatures.
var signatureEnds = []string{".asc", ".sig", ".sign", ".gpg"}

// SignatureOf returns the name of the file that a file's name says it signs: "a.tar.xz" of
// "a.tar.xz.sig". Of a.tar.sign, which signs the unpacked archive, it returns "a.tar".
func SignatureOf(name string) (signed string, ok bool) {
	for _, end := range signatureEnds {
		if signed, ok = strings.CutSuffix(name, end); ok && signed != "" {
			return signed, true
		}
	}
	return "", false
}

var packed = regexp.MustCompile(`\.(gz|bz2|xz|zst|lz)$`)

// Signs reports whether a signature's name is of a file, or unpacked of what is packed in it.
func Signs(signature, file string) (signs, unpacked bool) {
	signed, ok := SignatureOf(signature)
	switch {
	case !ok:
		return false, false
	case signed == file:
		return true, false
	}
	return signed == packed.ReplaceAllString(file, "") && signed != file, true
}
