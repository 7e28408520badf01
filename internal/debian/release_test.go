// release_test: signed lists of indexes.

package debian

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
)

// signer makes a key, and returns it with its armored public half.
func signer(t *testing.T) (*openpgp.Entity, []byte) {
	t.Helper()
	key, err := openpgp.NewEntity("Archive", "", "archive@example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.PublicKeyType, nil)
	if err == nil {
		err = key.Serialize(w)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return key, append(b.Bytes(), '\n')
}

func signed(t *testing.T, key *openpgp.Entity, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := clearsign.Encode(&b, key.PrivateKey, nil)
	if err == nil {
		_, err = w.Write([]byte(text))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const release = `Origin: Debian
Codename: trixie
Date: Sat, 21 Nov 2026 09:15:44 UTC
Valid-Until: Sat, 28 Nov 2026 09:15:44 UTC
Acquire-By-Hash: yes
MD5Sum:
 3e498904a30e240573dac8ddac594e6f  5 main/binary-amd64/Packages.xz
SHA256:
 0000000000000000000000000000000000000000000000000000000000000001  7 main/binary-amd64/Packages.xz
`

func TestParseRelease(t *testing.T) {
	key, public := signer(t)
	_, other := signer(t)
	good := signed(t, key, release)
	r, err := ParseRelease(t.Context(), good, append(other, public...))
	if err != nil {
		t.Fatal(err)
	}
	at := r.Indexes["main/binary-amd64/Packages.xz"]
	if r.Codename != "trixie" || !r.ByHash || r.Until.Day() != 28 ||
		r.Date != time.Date(2026, 11, 21, 9, 15, 44, 0, time.UTC) || at.Size != 7 ||
		!strings.HasSuffix(at.SHA256, "01") {
		t.Errorf("%+v", r)
	}
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stop)
	if _, err := ParseRelease(ctx, good, public); !errors.Is(err, stop) {
		t.Errorf("after the end: %v", err)
	}
	for name, c := range map[string]struct {
		data, keys []byte
		want       string
	}{
		"another key": {good, other, "its signature"},
		"no key":      {good, nil, "the keys that may sign it"},
		"changed": {bytes.Replace(good, []byte("00001  7"), []byte("00002  7"), 1), public,
			"its signature"},
		"not signed": {[]byte(release), public, "not signed within"},
		"appended":   {append(good, "\nSHA256:\n"...), public, "something follows its signature"},
		"other sum": {signed(t, key, strings.Replace(release, "00001  7", "0001  7", 1)), public,
			"not a sum"},
		"other date": {signed(t, key, strings.Replace(release, "Date: Sat", "Date: x", 1)), public,
			"not a date"},
		"without sums": {signed(t, key, "Date: Sat, 21 Nov 2026 09:15:44 UTC\n"), public,
			"no sums"},
	} {
		_, err := ParseRelease(t.Context(), c.data, c.keys)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
