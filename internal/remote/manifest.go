// manifest: encodes a result as an OCI image manifest, and refuses faulty ones. The blobs are the
// outputs, the transcript, the log and the provenance.

package remote

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"time"

	spec "github.com/opencontainers/image-spec/specs-go/v1"

	"buildsys/internal/cache"
	"buildsys/internal/oci"
)

// Media types and annotations. Every registry, including ECR, accepts an image manifest with the
// empty config; nothing here needs the referrers API.
const (
	manifestType   = spec.MediaTypeImageManifest
	emptyType      = spec.MediaTypeEmptyJSON
	resultType     = "application/vnd.buildsys.result.v1"
	outputType     = "application/vnd.buildsys.output.v1"
	transcriptType = "application/vnd.buildsys.transcript.v1+text"
	logType        = "application/vnd.buildsys.log.v1+text"
	provenanceType = "application/vnd.in-toto+json"

	titleNote = spec.AnnotationTitle
	modeNote  = "invalid.buildsys.mode" // "0755" on an executable output
	// linkNote is the target of an output that is a symbolic link; its blob is the empty one.
	linkNote    = "invalid.buildsys.link"
	actionNote  = "invalid.buildsys.action"  // the action ID
	contentNote = "invalid.buildsys.content" // the content ID
	stepNote    = "invalid.buildsys.step"    // "package/bash x86_64"
	tookNote    = "invalid.buildsys.took"    // how long the step ran, in nanoseconds
	builtNote   = "invalid.buildsys.built"   // when, in RFC 3339; older results do not say it
)

// Limits of accepted results.
const (
	maxFiles   = 4096     // outputs of a step
	maxOutputs = 64 << 30 // bytes of all outputs of a step
	maxTook    = 1000 * time.Hour
)

// emptyBlob is the config of every manifest.
var emptyBlob = []byte("{}")

// newManifest returns a manifest without layers.
func newManifest(artifactType string, notes map[string]string) spec.Manifest {
	m := oci.NewManifest(oci.Describe(emptyType, oci.BlobOf(emptyBlob)), nil)
	m.ArtifactType, m.Annotations = artifactType, notes
	return m
}

// encodeManifest returns the manifest of e. Its provenance is a blob.
func encodeManifest(e cache.Entry, provenance cache.Blob) ([]byte, error) {
	m := newManifest(resultType, map[string]string{
		actionNote: e.Action.String(), contentNote: e.Content.String(), stepNote: e.Step,
		tookNote:  strconv.FormatInt(int64(e.Took), 10),
		builtNote: e.Built.UTC().Format(time.RFC3339),
	})
	m.Layers = append(m.Layers,
		oci.Describe(transcriptType, oci.BlobOf([]byte(e.Transcript))),
		oci.Describe(provenanceType, provenance))
	if !e.Log.IsZero() {
		m.Layers = append(m.Layers, oci.Describe(logType, e.Log))
	}
	for _, f := range e.Files {
		d := oci.Describe(outputType, cache.Blob{SHA256: f.SHA256, Size: f.Size})
		d.Annotations = map[string]string{titleNote: f.Name}
		switch {
		case f.Link != "":
			d = oci.Describe(outputType, oci.BlobOf(emptyBlob))
			d.Annotations = map[string]string{titleNote: f.Name, linkNote: f.Link}
		case f.Mode == 0o755:
			d.Annotations[modeNote] = "0755"
		}
		m.Layers = append(m.Layers, d)
	}
	data, err := json.Marshal(m)
	if err == nil {
		// Never write what a reader would refuse.
		_, err = decodeManifest(data, e.Action, e.Step, e.Transcript)
	}
	return data, err
}

// decodeManifest reads the manifest of the result of an action of a step with a transcript. It
// refuses a manifest that such a step could not have, or that would not be published if it had been
// built here. Blobs are checked when they arrive.
func decodeManifest(data []byte, id cache.ActionID, step, transcript string) (cache.Entry, error) {
	e := cache.Entry{Action: id, Step: step, Transcript: transcript}
	var m spec.Manifest
	if err := oci.Decode(data, &m); err != nil {
		return e, fmt.Errorf("it is not a manifest: %w", err)
	}
	if m.SchemaVersion != 2 || m.MediaType != manifestType || m.ArtifactType != resultType {
		return e, fmt.Errorf("it is not a result but %.100q of type %.100q", m.MediaType, m.ArtifactType)
	}
	if m.Annotations[stepNote] != step || m.Annotations[actionNote] != id.String() {
		return e, fmt.Errorf("it is the result of another action: %.100q, %.100q",
			m.Annotations[stepNote], m.Annotations[actionNote])
	}
	if len(m.Layers) > maxFiles+3 {
		return e, fmt.Errorf("it has %d files, more than %d", len(m.Layers), maxFiles)
	}
	var total int64
	made := false
	for _, d := range m.Layers {
		b, err := oci.Blob(d, maxOutputs)
		if err != nil {
			return e, err
		}
		if total += b.Size; total > maxOutputs || total < 0 {
			return e, fmt.Errorf("its files have more than %d bytes", int64(maxOutputs))
		}
		switch d.MediaType {
		case transcriptType:
			// The action ID is the hash of the transcript, so it names exactly the inputs asked
			// for.
			made = made || b == cache.Blob{SHA256: id, Size: int64(len(transcript))}
		case logType:
			e.Log = b
		case outputType:
			f, err := outputOf(d, b)
			if err != nil {
				return e, err
			}
			e.Files = append(e.Files, f)
		}
	}
	if !made {
		return e, errors.New("its transcript does not match the action")
	}
	return complete(e, m.Annotations)
}

// complete fills in what follows from the files of an entry, and compares it with the manifest.
func complete(e cache.Entry, notes map[string]string) (cache.Entry, error) {
	e.Content = cache.ContentOf(e.Files)
	if notes[contentNote] != e.Content.String() {
		return e, errors.New("its files do not match its content ID")
	}
	took, err := strconv.ParseInt(notes[tookNote], 10, 64)
	if err == nil && took > 0 { // only a hint for the order of builds
		e.Took = min(time.Duration(took), maxTook)
	}
	built, err := time.Parse(time.RFC3339, notes[builtNote])
	if err == nil && built.Unix() > 0 && built.Year() < 2200 { // only for people
		e.Built = built.UTC()
	}
	if len(e.Files) == 0 {
		return e, errors.New("it has no outputs")
	}
	return e, e.Check()
}

// outputOf returns the output that d describes.
func outputOf(d spec.Descriptor, b cache.Blob) (cache.File, error) {
	f := cache.File{Name: d.Annotations[titleNote], Link: d.Annotations[linkNote]}
	if reason := cache.BadPath(f.Name); reason != "" {
		return f, fmt.Errorf("the output %.100q is refused: %s", f.Name, reason)
	}
	if f.Link != "" {
		return f, nil
	}
	f.Size, f.SHA256 = b.Size, b.SHA256
	switch mode := d.Annotations[modeNote]; mode {
	case "":
		f.Mode = fs.FileMode(0o644)
	case "0755":
		f.Mode = 0o755
	default:
		return f, fmt.Errorf("the output %.100q has the unsupported mode %.20q", f.Name, mode)
	}
	return f, nil
}
