// Provenance: from what and how the files of a release were made, as SLSA v1 in an in-toto
// statement, signed if there is a key.

package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	slsa "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

const (
	slsaType    = "https://slsa.dev/provenance/v1"
	payloadType = "application/vnd.in-toto+json"
	// The addresses are names: nothing answers there.
	buildType = "https://buildsys.invalid/release/v1"
	builderID = "https://buildsys.invalid/script/release"

	signedEnding   = ".intoto.jsonl"
	unsignedEnding = ".provenance-unsigned.json"
)

// prove writes the statement about all files that are there. It has no times: those of a second
// release of the same commit would be others.
func (r *release) prove(ctx context.Context) error {
	subjects, err := digests(r.files)
	if err != nil {
		return err
	}
	statement, err := r.statement(subjects)
	if err != nil {
		return err
	}
	if r.signer == nil {
		return os.WriteFile(r.path(unsignedEnding), statement, 0o644)
	}
	signer, err := dsse.NewEnvelopeSigner(r.signer)
	if err != nil {
		return err
	}
	envelope, err := signer.SignPayload(ctx, payloadType, statement)
	if err != nil {
		return err
	}
	line, err := json.Marshal(envelope)
	if err != nil {
		return err
	}
	return os.WriteFile(r.path(signedEnding), append(line, '\n'), 0o644)
}

func (r *release) statement(subjects map[string]string) ([]byte, error) {
	dependencies, err := r.dependencies()
	if err != nil {
		return nil, err
	}
	external, err := structpb.NewStruct(map[string]any{"version": r.version, "commit": r.commit})
	if err != nil {
		return nil, err
	}
	internal, err := structpb.NewStruct(map[string]any{"go": r.tools.version,
		"flags":       "-trimpath -buildvcs=true -ldflags=-s -w",
		"environment": "CGO_ENABLED=0 GOAMD64=v1 GOARM64=v8.0"})
	if err != nil {
		return nil, err
	}
	predicate := &slsa.Provenance{
		BuildDefinition: &slsa.BuildDefinition{BuildType: buildType, ExternalParameters: external,
			InternalParameters: internal, ResolvedDependencies: dependencies},
		RunDetails: &slsa.RunDetails{Builder: &slsa.Builder{Id: builderID}},
	}
	if err := predicate.Validate(); err != nil {
		return nil, err
	}
	var body structpb.Struct
	if err := convert(predicate, &body); err != nil {
		return nil, err
	}
	s := &intoto.Statement{Type: intoto.StatementTypeUri, PredicateType: slsaType, Predicate: &body}
	for _, name := range slices.Sorted(maps.Keys(subjects)) {
		s.Subject = append(s.Subject, &intoto.ResourceDescriptor{Name: name,
			Digest: map[string]string{"sha256": subjects[name]}})
	}
	if err := s.Validate(); err != nil {
		return nil, err
	}
	return stable(s)
}

// dependencies returns the commit, and the modules in the binaries with their sums.
func (r *release) dependencies() ([]*intoto.ResourceDescriptor, error) {
	all := []*intoto.ResourceDescriptor{{Name: "buildsys",
		Digest: map[string]string{"gitCommit": r.commit}}}
	sums := map[string]string{}
	for _, b := range r.built {
		for _, m := range b.info.Deps {
			sums[component{path: m.Path, version: m.Version}.purl()] = m.Sum
		}
	}
	for _, purl := range slices.Sorted(maps.Keys(sums)) {
		sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(sums[purl], "h1:"))
		if err != nil || len(sum) != sha256.Size {
			return nil, fmt.Errorf("%s has the sum %q", purl, sums[purl])
		}
		all = append(all, &intoto.ResourceDescriptor{Uri: purl,
			Digest: map[string]string{"dirHash1": hex.EncodeToString(sum)}})
	}
	return all, nil
}

func convert(from, to proto.Message) error {
	data, err := protojson.Marshal(from)
	if err != nil {
		return err
	}
	return protojson.Unmarshal(data, to)
}

// stable returns a message as JSON whose bytes depend on nothing else: protojson varies its spaces
// from program to program.
func stable(m proto.Message) ([]byte, error) {
	data, err := protojson.Marshal(m)
	if err != nil {
		return nil, err
	}
	var all any
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err = e.Encode(all)
	return out.Bytes(), err
}

// digests returns the sha256 of all files in a directory, by name.
func digests(dir string) (map[string]string, error) {
	names, err := listing(dir)
	sums := map[string]string{}
	for _, name := range names {
		var data []byte
		if err == nil {
			data, err = os.ReadFile(filepath.Join(dir, name))
		}
		sum := sha256.Sum256(data)
		sums[name] = hex.EncodeToString(sum[:])
	}
	return sums, err
}

// key is an Ed25519 key for DSSE. Other kinds are refused: their signatures differ each time, and
// no two releases of a commit would be the same.
type key struct {
	private ed25519.PrivateKey // nil: it only verifies
	public  ed25519.PublicKey
}

func readKey(path string) (dsse.SignerVerifier, error) {
	der, err := readPEM(path, "PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	private, ok := parsed.(ed25519.PrivateKey)
	if err == nil && !ok {
		err = errors.New("it is no Ed25519 key")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: make one with openssl genpkey -algorithm ed25519", path, err)
	}
	return key{private, private.Public().(ed25519.PublicKey)}, nil
}

func readPublicKey(path string) (dsse.Verifier, error) {
	der, err := readPEM(path, "PUBLIC KEY")
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	public, ok := parsed.(ed25519.PublicKey)
	if err == nil && !ok {
		err = errors.New("it is no Ed25519 key")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key{nil, public}, nil
}

func readPEM(path, kind string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != kind {
		return nil, fmt.Errorf(`%s has no "%s" in PEM`, path, kind)
	}
	return block.Bytes, nil
}

func (k key) Sign(_ context.Context, data []byte) ([]byte, error) {
	return ed25519.Sign(k.private, data), nil
}

func (k key) Verify(_ context.Context, data, sig []byte) error {
	if !ed25519.Verify(k.public, data, sig) {
		return errors.New("the signature is not of this key")
	}
	return nil
}

// KeyID returns the sha256 of the public key, as openssl pkey -pubout -outform DER writes it.
func (k key) KeyID() (string, error) {
	der, err := x509.MarshalPKIXPublicKey(k.public)
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:]), err
}

func (k key) Public() crypto.PublicKey { return k.public }
