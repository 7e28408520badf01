// work_test: what others write does not decide how long reading it takes. Without bounds these
// tests take hours.

package upstream

import (
	"bytes"
	"context"
	//lint:ignore SA1019 keys of others may be of it
	"crypto/dsa"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"buildsys/internal/manifest"
)

func TestMacrosAreExpandedOnce(t *testing.T) {
	var spec strings.Builder
	for i := range 8 {
		fmt.Fprintf(&spec, "%%global m%d %s\n", i, strings.Repeat(fmt.Sprintf("%%{m%d}", i+1), 1000))
	}
	spec.WriteString("%global m8 x\nVersion: 1.2\nSource: %{m0}\n")
	p := Package{Package: &manifest.Package{Name: "a", ExternalFiles: []manifest.ExternalFile{
		{URL: "https://example.com/a-1.2.tar.gz"}}}, Spec: spec.String()}
	if n, err := Find(p); err != nil || n.Version != "1.2" {
		t.Errorf("%v, %v", n, err)
	}
}

func TestSeriesOfManyDirectories(t *testing.T) {
	p := Pages{series: regexp.MustCompile(`href="([0-9.]+)/`)}
	var page strings.Builder
	for i := range 500_000 {
		fmt.Fprintf(&page, "href=\"%d/\n", i)
	}
	if got := p.Series([]byte(page.String()), &url.URL{}); len(got) != maxSeries ||
		got[0] != "499999/" {
		t.Errorf("%q", got)
	}
}

func TestPatchesOfLinesThatAreTheSame(t *testing.T) {
	text := make([]string, 1<<20)
	hunks := []hunk{{before: append(make([]string, 1<<19), "x")}}
	looks := 1 << 24
	got := judge([]filePatch{{name: "a", hunks: hunks}}, map[string][]string{"a": text}, &looks)
	if !strings.Contains(got, "is not looked at") {
		t.Error(got)
	}
}

// hugeKey is a key of 64 Kibit and a signature by itself, whose check takes minutes.
func hugeKey() []byte {
	huge := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 65528), big.NewInt(1))
	key := packet.NewDSAPublicKey(time.Unix(1, 0), &dsa.PublicKey{
		Parameters: dsa.Parameters{P: huge, Q: huge, G: new(big.Int).Sub(huge, big.NewInt(6))},
		Y:          new(big.Int).Sub(huge, big.NewInt(10))})
	var out bytes.Buffer
	_ = key.Serialize(&out)
	_ = packet.NewUserId("a", "", "").Serialize(&out)
	body := append([]byte{4, 0x13, 17, 8, 0, 6, 5, 2, 0, 0, 0, 1, 0, 10, 9, 16},
		binary.BigEndian.AppendUint64(nil, key.KeyId)...)
	body = append(body, 0, 0) // of the hash
	for range 2 {
		number := new(big.Int).Sub(huge, big.NewInt(2)).Bytes()
		body = append(binary.BigEndian.AppendUint16(body, uint16(8*len(number))), number...)
	}
	out.Write(append([]byte{0xc2, 0xff}, binary.BigEndian.AppendUint32(nil, uint32(len(body)))...))
	out.Write(body)
	return out.Bytes()
}

func TestKeysWithoutEnd(t *testing.T) {
	ctx, stop := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	stop(stopped)
	if err := new(Keys).Add(ctx, "a", hugeKey()); !errors.Is(err, stopped) {
		t.Error(err)
	}
}

func TestBlocksAreReadOnce(t *testing.T) {
	var key, block bytes.Buffer
	one, err := openpgp.NewEntity("a", "", "", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA})
	if err != nil {
		t.Fatal(err)
	}
	w, err := armor.Encode(&block, openpgp.PublicKeyType, nil)
	if err == nil {
		err = errors.Join(one.Serialize(w), w.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	key.WriteString("of ann\n" + block.String() + "\nof bob\n" + block.String())
	var k Keys
	if err := k.Add(t.Context(), "a", key.Bytes()); err != nil || k.Len() != 2 {
		t.Errorf("%d keys, %v", k.Len(), err)
	}
	// None of these begins a block, but a key comes after each.
	k = Keys{}
	heads := strings.Repeat(armorHead+"PUBLIC KEY BLOCK\n", 1000) + block.String()
	if err := k.Add(t.Context(), "a", []byte(heads)); err != nil || k.Len() != 1 {
		t.Errorf("%d keys, %v", k.Len(), err)
	}
}
