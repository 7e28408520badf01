// Checksums, and the verification of a release by them and by its provenance.

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	intoto "github.com/in-toto/attestation/go/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"google.golang.org/protobuf/encoding/protojson"
)

const sumsName = "SHA256SUMS"

// writeSums writes the sums of all files, for sha256sum --check.
func writeSums(dir string) error {
	sums, err := digests(dir)
	if err != nil {
		return err
	}
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		fmt.Fprintf(&text, "%s  %s\n", sums[name], name)
	}
	return os.WriteFile(filepath.Join(dir, sumsName), []byte(text.String()), 0o644)
}

// verify checks the files in a directory against the statement in it, whose signature is checked
// with the public key. Files of the release that are not there are only counted; one that is none
// of the release's is an error.
func verify(ctx context.Context, out io.Writer, dir, public string) error {
	names, err := listing(dir)
	if err != nil {
		return err
	}
	var proofs []string
	for _, name := range names {
		if strings.HasSuffix(name, signedEnding) || strings.HasSuffix(name, unsignedEnding) {
			proofs = append(proofs, name)
		}
	}
	if len(proofs) != 1 {
		return fmt.Errorf("%s has %d statements of provenance, want one", dir, len(proofs))
	}
	data, err := os.ReadFile(filepath.Join(dir, proofs[0]))
	if err != nil {
		return err
	}
	signed := "its provenance is NOT SIGNED: whoever changed a file could change it too"
	if strings.HasSuffix(proofs[0], signedEnding) {
		data, signed, err = open(ctx, data, public)
	} else if public != "" {
		err = errors.New("it is not signed")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", proofs[0], err)
	}
	n, missing, err := compare(dir, proofs[0], data)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d files are as its provenance says, %d of the release are not here; %s\n", n,
		missing, signed)
	return nil
}

// open returns the statement in an envelope, and what is known of its signature.
func open(ctx context.Context, data []byte, public string) (statement []byte, signed string,
	err error) {
	var envelope dsse.Envelope
	if err := json.Unmarshal(data, &envelope); err != nil {
		return nil, "", err
	}
	if envelope.PayloadType != payloadType {
		return nil, "", fmt.Errorf("it is of the type %q", envelope.PayloadType)
	}
	statement, err = envelope.DecodeB64Payload()
	if err != nil || public == "" {
		return statement, "the signature was NOT CHECKED: name the public key with --public-key", err
	}
	key, err := readPublicKey(public)
	if err != nil {
		return nil, "", err
	}
	verifier, err := dsse.NewEnvelopeVerifier(key)
	if err != nil {
		return nil, "", err
	}
	if _, err := verifier.Verify(ctx, &envelope); err != nil {
		return nil, "", err
	}
	id, err := key.KeyID()
	return statement, "signed by the key " + id, err
}

// compare holds the files in a directory against a statement, and SHA256SUMS against them.
func compare(dir, proof string, statement []byte) (same, missing int, err error) {
	var s intoto.Statement
	if err := protojson.Unmarshal(statement, &s); err != nil {
		return 0, 0, fmt.Errorf("%s: %w", proof, err)
	}
	if s.PredicateType != slsaType {
		return 0, 0, fmt.Errorf("%s is about %q, not provenance", proof, s.PredicateType)
	}
	sums, err := digests(dir)
	if err != nil {
		return 0, 0, err
	}
	delete(sums, proof)
	delete(sums, sumsName)
	for _, subject := range s.Subject {
		sum, here := sums[subject.Name]
		switch {
		case !here:
			missing++
		case sum != subject.Digest["sha256"]:
			return 0, 0, fmt.Errorf("%s is not the file of the release: its sha256 is %s, not %s",
				subject.Name, sum, subject.Digest["sha256"])
		default:
			same++
		}
		delete(sums, subject.Name)
	}
	if len(sums) > 0 {
		return 0, 0, fmt.Errorf("%s: the provenance does not know %s", dir,
			strings.Join(slices.Sorted(maps.Keys(sums)), ", "))
	}
	return same, missing, nil
}
