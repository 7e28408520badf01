// seal: statements as the lines of a paper.

package provenance

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
)

// Seal returns statements as a paper: an envelope on each line. signer may be nil: then nobody
// signs them. Without all only the first is signed, which has the sums of the others.
func Seal(ctx context.Context, statements [][]byte, signer dsse.SignerVerifier, all bool) ([]byte,
	error) {
	var out bytes.Buffer
	for n, text := range statements {
		e := &dsse.Envelope{PayloadType: PayloadType, Signatures: []dsse.Signature{},
			Payload: base64.StdEncoding.EncodeToString(text)}
		if signer != nil && (n == 0 || all) {
			s, err := dsse.NewEnvelopeSigner(signer)
			if err == nil {
				e, err = s.SignPayload(ctx, PayloadType, text)
			}
			if err != nil {
				return nil, fmt.Errorf("sign the provenance: %w", err)
			}
		}
		line, err := encode(e)
		if err != nil {
			return nil, err
		}
		out.Write(line)
	}
	if out.Len() > MaxPaper {
		return nil, fmt.Errorf("the provenance has more than %d MiB", MaxPaper>>20)
	}
	return out.Bytes(), nil
}

// encode returns the one form in which an envelope is written.
func encode(e *dsse.Envelope) ([]byte, error) {
	line, err := json.Marshal(e)
	return append(line, '\n'), err
}
