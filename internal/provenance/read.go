// read: papers of others. Their sizes are bounded, they are written in one form only, and no name
// in them leads anywhere.

package provenance

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	slsa "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	"buildsys/internal/cache"
)

// Bounds of what is read. An image of ten thousand packages has some hundred MiB of statements.
const (
	MaxPaper      = 512 << 20
	maxLine       = 64 << 20
	maxStatements = 50_000
	maxSubjects   = 10_000
	maxValues     = 300_000 // of a statement; each takes some hundred bytes of memory
	maxStep       = 1 << 10 // bytes of the name of a step
)

// Paper is what the file beside an image says.
type Paper struct {
	Name  string // of the file
	KeyID string // of who signed it; empty if nobody did, or if no key was given to check it with
	// Signers are those that the paper claims, whether checked or not.
	Claimed string
	Image   Claim
	Steps   []Claim
}

// Claim is one statement.
type Claim struct {
	Step       string // "package/busybox x86_64"
	Subjects   map[string][32]byte
	Links      map[string]string // of an image
	Action     string
	Content    string
	Transcript string
	Origin     string
	Maker      map[string]string

	Building
	Partitions map[string]map[string]string // of an image

	made        []made
	stepsSigned bool
	sum         string // of the statement
}

// Building is how an image was made.
type Building struct {
	Variant, Arch, SDK string
	Release            bool
	Tree               Tree
}

// made is a step as the statement of the image names it.
type made struct{ step, sum, content string }

// Arg returns an argument of the build.
func (c Claim) Arg(name string) string { return cache.Arg(c.Transcript, name) }

// Read reads a paper. With a verifier the signatures have to be of its key. The faults are all that
// is wrong with it; the paper may be used if there are none.
func Read(ctx context.Context, name string, data []byte, by dsse.Verifier) (*Paper, Faults) {
	p := &Paper{Name: name}
	if len(data) > MaxPaper {
		return p, Faults{faultf(BadStatement, name, "it has more than %d MiB", MaxPaper>>20)}
	}
	if len(data) == 0 || data[len(data)-1] != '\n' {
		return p, Faults{faultf(BadStatement, name, "it is empty or cut off")}
	}
	for n := 1; len(data) > 0; n++ {
		line, rest, _ := bytes.Cut(data, []byte("\n"))
		data = rest
		where := fmt.Sprintf("%s, line %d", name, n)
		if ctx.Err() != nil {
			return p, Faults{faultf(BadStatement, where, "%v", context.Cause(ctx))}
		}
		if n > maxStatements || len(line) > maxLine {
			return p, Faults{faultf(BadStatement, where, "there are too many or too long statements")}
		}
		text, signed, fault := p.open(ctx, where, append(line[:len(line):len(line)], '\n'), by)
		if fault != nil {
			return p, Faults{*fault}
		}
		c, err := parse(text, n == 1)
		if err != nil {
			return p, Faults{faultf(BadStatement, where, "%v", err)}
		}
		if n == 1 {
			if by != nil && !signed {
				return p, Faults{faultf(BadSignature, where, "nobody has signed it")}
			}
			p.Image = c
			continue
		}
		if by != nil && signed != p.Image.stepsSigned {
			return p, Faults{faultf(BadSignature, c.Step, "its statement (line %d) has signatures added or "+
				"removed", n)}
		}
		p.Steps = append(p.Steps, c)
	}
	return p, p.checkSteps()
}

// open returns the statement in an envelope.
func (p *Paper) open(ctx context.Context, where string, line []byte, by dsse.Verifier) (text []byte,
	signed bool, fault *Fault) {
	bad := func(kind Kind, format string, args ...any) ([]byte, bool, *Fault) {
		f := faultf(kind, where, format, args...)
		return nil, false, &f
	}
	var e dsse.Envelope
	if bytes.Count(line, []byte("{")) > 2 { // before any of them takes memory
		return bad(BadSignature, "it has more than one signature, or is no DSSE envelope")
	}
	if err := json.Unmarshal(line, &e); err != nil {
		return bad(BadStatement, "it is no DSSE envelope: %v", err)
	}
	text, err := base64.StdEncoding.Strict().DecodeString(e.Payload)
	if err != nil {
		return bad(BadStatement, "its payload: %v", err)
	}
	if e.PayloadType != PayloadType {
		return bad(BadStatement, "it has a payload of the type %q", e.PayloadType)
	}
	// A byte that nobody reads could be changed unseen.
	if same, err := encode(&e); err != nil || !bytes.Equal(same, line) {
		return bad(BadStatement, "it is not written as buildsys writes it")
	}
	if len(e.Signatures) == 0 {
		return text, false, nil
	}
	claimed := e.Signatures[0].KeyID
	if p.Claimed == "" {
		p.Claimed = claimed
	}
	if by == nil {
		return text, true, nil
	}
	id, err := by.KeyID()
	if err != nil {
		return bad(BadSignature, "%v", err)
	}
	if claimed != id {
		return bad(BadSignature, "it is signed with the key %.16s, and the one to check with is %.16s",
			claimed, id)
	}
	if sig, err := base64.StdEncoding.Strict().DecodeString(e.Signatures[0].Sig); err != nil {
		return bad(BadSignature, "%v", err)
	} else if len(sig) > maxKey {
		return bad(BadSignature, "it is too long")
	}
	v, err := dsse.NewEnvelopeVerifier(by)
	if err == nil {
		_, err = v.Verify(ctx, &e)
	}
	if err != nil {
		return bad(BadSignature, "the signature or what it signs was changed: the key %.16s did not "+
			"make it", id)
	}
	p.KeyID = id
	return text, true, nil
}

// parse reads a statement, that of an image or of a step.
func parse(text []byte, image bool) (c Claim, err error) {
	if values(text) > maxValues {
		return c, fmt.Errorf("it has more than %d values", maxValues)
	}
	var s intoto.Statement
	if err := protojson.Unmarshal(text, &s); err != nil {
		return c, fmt.Errorf("it is no in-toto statement: %w", err)
	}
	if same, err := stable(&s); err != nil || !bytes.Equal(same, text) {
		return c, errors.New("it is not written as buildsys writes it")
	}
	if err := s.Validate(); err != nil {
		return c, fmt.Errorf("it is no in-toto statement: %w", err)
	}
	if s.PredicateType != slsaType {
		return c, fmt.Errorf("it is of the type %q", s.PredicateType)
	}
	var p slsa.Provenance
	if err := convert(s.Predicate, &p); err != nil {
		return c, fmt.Errorf("it is no provenance: %w", err)
	}
	if err := p.Validate(); err != nil {
		return c, fmt.Errorf("it is no provenance: %w", err)
	}
	want := stepType
	if image {
		want = imageType
	}
	if got := p.BuildDefinition.BuildType; got != want {
		return c, fmt.Errorf("it is about %q, and one about %q is expected here", got, want)
	}
	c.sum = sum(text)
	if c.Subjects, err = subjects(s.Subject, image); err != nil {
		return c, err
	}
	if c.read(&p); len(c.Step) > maxStep {
		return c, errors.New("the name of its step is too long")
	}
	return c, nil
}

// values returns about how many values JSON has.
func values(text []byte) (n int) {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ',' || c == '{' || c == '['):
			n++
		}
	}
	return n
}

// subjects returns the files that a statement is about.
func subjects(list []*intoto.ResourceDescriptor, image bool) (map[string][32]byte, error) {
	if len(list) > maxSubjects {
		return nil, fmt.Errorf("it is about more than %d files", maxSubjects)
	}
	all := map[string][32]byte{}
	for _, one := range list {
		digest, err := hex.DecodeString(one.Digest["sha256"])
		switch _, twice := all[one.Name]; {
		case err != nil || len(digest) != 32:
			return nil, fmt.Errorf("it has no sha256 of %q", one.Name)
		case twice:
			return nil, fmt.Errorf("it has %q twice", one.Name)
		case image && !plainName(one.Name):
			return nil, fmt.Errorf("it names %q, which is no file beside the image", one.Name)
		}
		all[one.Name] = [32]byte(digest)
	}
	return all, nil
}

// read takes what the predicate says.
func (c *Claim) read(p *slsa.Provenance) {
	external, internal := fields(p.BuildDefinition.ExternalParameters),
		fields(p.BuildDefinition.InternalParameters)
	c.Step = external["step"].GetStringValue()
	c.Variant, c.Arch = external["variant"].GetStringValue(), external["arch"].GetStringValue()
	c.SDK, c.Release = external["sdk"].GetStringValue(), external["release"].GetBoolValue()
	tree := fields(external["tree"].GetStructValue())
	c.Tree = Tree{Commit: tree["commit"].GetStringValue(), Dirty: tree["dirty"].GetBoolValue(),
		Path: tree["path"].GetStringValue()}
	c.Action, c.Content = internal["action"].GetStringValue(), internal["content"].GetStringValue()
	c.Transcript = internal["transcript"].GetStringValue()
	c.Origin = internal["origin"].GetStringValue()
	c.stepsSigned = internal["stepsSigned"].GetBoolValue()
	c.Maker = p.RunDetails.Builder.Version
	c.Links = texts(internal["links"].GetStructValue())
	c.Partitions = map[string]map[string]string{}
	for file, sums := range fields(internal["partitions"].GetStructValue()) {
		c.Partitions[file] = texts(sums.GetStructValue())
	}
	for _, d := range p.BuildDefinition.ResolvedDependencies {
		if d.MediaType == PayloadType {
			c.made = append(c.made, made{d.Name, d.Digest["sha256"], d.Digest["buildsysContent"]})
		}
	}
}

func fields(s *structpb.Struct) map[string]*structpb.Value { return s.GetFields() }

func texts(s *structpb.Struct) map[string]string {
	all := map[string]string{}
	for name, value := range s.GetFields() {
		all[name] = value.GetStringValue()
	}
	return all
}

// checkSteps holds the statements of steps against that of the image, which has their sums, and the
// transcripts against their own IDs.
func (p *Paper) checkSteps() Faults {
	var faults Faults
	for i, m := range p.Image.made {
		if i >= len(p.Steps) {
			faults = append(faults, faultf(BadStep, m.step, "its statement is missing"))
			continue
		}
		switch c := p.Steps[i]; {
		case c.Step != m.step:
			faults = append(faults, faultf(BadStep, m.step, "its statement was replaced by one of %s",
				c.Step))
		case c.sum != m.sum:
			faults = append(faults, faultf(BadStep, m.step, "its statement is not the one that the image's "+
				"statement names"))
		}
	}
	for _, c := range p.Steps[min(len(p.Image.made), len(p.Steps)):] {
		faults = append(faults, faultf(BadStep, c.Step, "the image was not made from it"))
	}
	for _, c := range append([]Claim{p.Image}, p.Steps...) {
		if sum([]byte(c.Transcript)) != c.Action {
			faults = append(faults, faultf(BadStatement, c.Step, "its transcript is not that of its action"))
		}
	}
	return faults
}
