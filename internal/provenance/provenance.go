// Package provenance says from what and how an image was made, and reads what others say of theirs.
// A paper beside the image has a statement on a line for the image and for each of its steps: SLSA
// v1 in an in-toto statement in a DSSE envelope, signed if there is a key. The package knows
// neither trees nor engines: package build gives it the facts, and compares images with them.
package provenance

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	slsa "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"buildsys/internal/builddir"
	"buildsys/internal/cache"
)

// Identifiers in statements. Those of steps are of package cache.
const (
	PayloadType = "application/vnd.in-toto+json"
	slsaType    = "https://slsa.dev/provenance/v1"
	imageType   = "urn:buildsys:image:v1"
	stepType    = "urn:buildsys:step:v1"
)

// Step is a result, and what made it.
type Step struct {
	Entry cache.Entry
	Maker cache.Maker // zero if unknown
}

// Tree is the commit that an image was made of.
type Tree struct {
	Commit string // in full; empty if unknown
	Dirty  bool   // there were changes
	Path   string // of the tree in its repository, with slashes; "." for the top
}

// SDK is the image that steps ran in.
type SDK struct {
	Name string
	Lock string // sha256 of sdk/packages.lock; empty if the tree has none
}

// Image is what is stated of an image.
type Image struct {
	Step
	Variant, Arch string
	Release       bool
	Tree          Tree
	SDK           SDK
	// Steps are those that it was made from, each before those that need it.
	Steps []Step
	// Partitions are the sha256 of partitions, by file and label: of a file that was changed they say
	// where.
	Partitions map[string]map[string]string
	// Program is the version of the program that states it.
	Program string
	// StepsSigned says that the statements of steps will have signatures of their own. The sums of
	// them are in that of the image either way.
	StepsSigned bool
}

// Statements returns the statements: first that of the image, then those of its steps.
func (i Image) Statements() ([][]byte, error) {
	all := [][]byte{nil}
	var made []*intoto.ResourceDescriptor
	for _, s := range i.Steps {
		text, err := s.statement()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Entry.Step, err)
		}
		all = append(all, text)
		one, err := s.dependency(text)
		if err != nil {
			return nil, err
		}
		made = append(made, one)
	}
	text, err := i.statement(made)
	all[0] = text
	return all, err
}

// dependency names the step in the statement of its image, with the sum of its own statement.
func (s Step) dependency(text []byte) (*intoto.ResourceDescriptor, error) {
	notes, err := structpb.NewStruct(map[string]any{"action": s.Entry.Action.String(),
		"origin": s.origin()})
	return &intoto.ResourceDescriptor{Name: s.Entry.Step, Annotations: notes,
		MediaType: PayloadType, Digest: map[string]string{"sha256": sum(text),
			"buildsysContent": s.Entry.Content.String()}}, err
}

// origin says where a result came from.
func (s Step) origin() string {
	if s.Entry.Origin == "" {
		return "this machine"
	}
	return s.Entry.Origin
}

// draft is a statement in the making.
type draft struct {
	*intoto.Statement
	predicate *slsa.Provenance
}

// draft begins with what the result's own transcript says.
func (s Step) draft() (d draft, err error) {
	text, err := s.Entry.Provenance()
	if err != nil {
		return d, err
	}
	d.Statement, d.predicate = &intoto.Statement{}, &slsa.Provenance{}
	if err := protojson.Unmarshal(text, d.Statement); err != nil {
		return d, err
	}
	if err := convert(d.Predicate, d.predicate); err != nil {
		return d, err
	}
	d.predicate.RunDetails.Builder.Version = map[string]string{}
	for name, version := range map[string]string{"buildsys": s.Maker.Program,
		"engine": s.Maker.Engine} {
		if version != "" {
			d.predicate.RunDetails.Builder.Version[name] = version
		}
	}
	return d, d.note(map[string]any{"action": s.Entry.Action.String(),
		"content": s.Entry.Content.String(), "origin": s.origin(), "transcript": s.Entry.Transcript})
}

// note adds internal parameters.
func (d draft) note(values map[string]any) error {
	more, err := structpb.NewStruct(values)
	if err != nil {
		return err
	}
	if d.predicate.BuildDefinition.InternalParameters == nil {
		d.predicate.BuildDefinition.InternalParameters = &structpb.Struct{
			Fields: map[string]*structpb.Value{}}
	}
	maps.Copy(d.predicate.BuildDefinition.InternalParameters.Fields, more.Fields)
	return nil
}

// text returns the statement as bytes that depend on nothing else.
func (d draft) text() ([]byte, error) {
	if err := d.predicate.Validate(); err != nil {
		return nil, err
	}
	d.Predicate = &structpb.Struct{}
	if err := convert(d.predicate, d.Predicate); err != nil {
		return nil, err
	}
	if err := d.Validate(); err != nil {
		return nil, err
	}
	return stable(d.Statement)
}

func (s Step) statement() ([]byte, error) {
	d, err := s.draft()
	if err != nil {
		return nil, err
	}
	return d.text()
}

func (i Image) statement(made []*intoto.ResourceDescriptor) ([]byte, error) {
	d, err := i.draft()
	if err != nil {
		return nil, err
	}
	links := map[string]any{}
	for _, f := range i.Entry.Files {
		switch {
		case !plainName(f.Name) || builddir.IsPaper(f.Name):
			return nil, fmt.Errorf("its output %q cannot be named in provenance", f.Name)
		case f.Link != "":
			links[f.Name] = f.Link
		}
	}
	def := d.predicate.BuildDefinition
	def.BuildType = imageType
	external, err := structpb.NewStruct(map[string]any{"variant": i.Variant, "arch": i.Arch,
		"release": i.Release, "sdk": i.SDK.Name, "tree": map[string]any{"commit": i.Tree.Commit,
			"dirty": i.Tree.Dirty, "path": i.Tree.Path}})
	if err != nil {
		return nil, err
	}
	maps.Copy(def.ExternalParameters.Fields, external.Fields)
	if i.Tree.Commit != "" {
		algorithm := "gitCommit"
		if len(i.Tree.Commit) == 64 { // of a repository of SHA-256, for which in-toto has no name
			algorithm = "gitCommitSHA256"
		}
		def.ResolvedDependencies = append(def.ResolvedDependencies, &intoto.ResourceDescriptor{
			Name: "tree", Digest: map[string]string{algorithm: i.Tree.Commit}})
	}
	if i.SDK.Lock != "" {
		def.ResolvedDependencies = append(def.ResolvedDependencies, &intoto.ResourceDescriptor{
			Name: lockName, Digest: map[string]string{"sha256": i.SDK.Lock}})
	}
	def.ResolvedDependencies = append(def.ResolvedDependencies, made...)
	d.predicate.RunDetails.Builder.Version["statement"] = i.Program
	parts := map[string]any{}
	for file, sums := range i.Partitions {
		of := map[string]any{}
		for label, sum := range sums {
			of[label] = sum
		}
		parts[file] = of
	}
	err = d.note(map[string]any{"links": links, "partitions": parts, "stepsSigned": i.StepsSigned})
	if err != nil {
		return nil, err
	}
	return d.text()
}

const lockName = "sdk/packages.lock"

// plainName reports whether a name is that of a file in the directory of the image, and of nothing
// elsewhere.
func plainName(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) <= 255 &&
		!strings.ContainsFunc(name, func(r rune) bool { return r == '/' || r < ' ' || r == 0x7f })
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
	err = e.Encode(all)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}

func sum(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
