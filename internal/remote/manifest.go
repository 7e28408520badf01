// Manifests: one result as an OCI image manifest, and what is refused of a foreign one.

package remote

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"buildsys/internal/cache"
)

// Media types and annotations. An image manifest with the empty config is what every registry takes, ECR included; nothing
// here needs the referrers API.
const (
	manifestType   = "application/vnd.oci.image.manifest.v1+json"
	emptyType      = "application/vnd.oci.empty.v1+json"
	resultType     = "application/vnd.buildsys.result.v1"
	outputType     = "application/vnd.buildsys.output.v1"
	transcriptType = "application/vnd.buildsys.transcript.v1+text"
	logType        = "application/vnd.buildsys.log.v1+text"
	provenanceType = "application/vnd.in-toto+json"

	titleNote   = "org.opencontainers.image.title"
	modeNote    = "invalid.buildsys.mode"    // "0755" on an output that can be executed
	linkNote    = "invalid.buildsys.link"    // target of an output that is a symbolic link; its blob is the empty one
	actionNote  = "invalid.buildsys.action"  // the action ID
	contentNote = "invalid.buildsys.content" // the content ID
	stepNote    = "invalid.buildsys.step"    // "package/bash x86_64"
	tookNote    = "invalid.buildsys.took"    // how long the step ran, in nanoseconds
)

// Bounds of what is accepted. A registry's own limit for a manifest is 4 MiB.
const (
	maxManifest = 4 << 20  // bytes
	maxFiles    = 4096     // outputs of a step
	maxOutputs  = 64 << 30 // bytes of all outputs of a step
	maxTook     = 1000 * time.Hour
)

// emptyBlob is the config of every manifest.
var emptyBlob = []byte("{}")

type manifest struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	ArtifactType  string            `json:"artifactType"`
	Config        descriptor        `json:"config"`
	Layers        []descriptor      `json:"layers"`
	Annotations   map[string]string `json:"annotations"`
}

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

func describe(mediaType string, b cache.Blob) descriptor {
	return descriptor{MediaType: mediaType, Digest: "sha256:" + hex.EncodeToString(b.SHA256[:]), Size: b.Size}
}

func blobOf(data []byte) cache.Blob {
	return cache.Blob{SHA256: sha256.Sum256(data), Size: int64(len(data))}
}

// blob returns what d names: only sha256 counts here.
func (d descriptor) blob() (cache.Blob, error) {
	digits, ok := strings.CutPrefix(d.Digest, "sha256:")
	sum, err := cache.ParseContentID(digits)
	if !ok || err != nil || d.Size < 0 {
		return cache.Blob{}, fmt.Errorf("%.100q of %d bytes is not a blob", d.Digest, d.Size)
	}
	return cache.Blob{SHA256: sum, Size: d.Size}, nil
}

// encodeManifest returns the manifest of e, whose provenance is a blob as well.
func encodeManifest(e cache.Entry, provenance cache.Blob) ([]byte, error) {
	m := manifest{
		SchemaVersion: 2, MediaType: manifestType, ArtifactType: resultType, Config: describe(emptyType, blobOf(emptyBlob)),
		Annotations: map[string]string{
			actionNote: e.Action.String(), contentNote: e.Content.String(), stepNote: e.Step,
			tookNote: strconv.FormatInt(int64(e.Took), 10),
		},
	}
	m.Layers = append(m.Layers, describe(transcriptType, blobOf([]byte(e.Transcript))), describe(provenanceType, provenance))
	if !e.Log.IsZero() {
		m.Layers = append(m.Layers, describe(logType, e.Log))
	}
	for _, f := range e.Files {
		d := describe(outputType, cache.Blob{SHA256: f.SHA256, Size: f.Size})
		d.Annotations = map[string]string{titleNote: f.Name}
		switch {
		case f.Link != "":
			d = describe(outputType, blobOf(emptyBlob))
			d.Annotations = map[string]string{titleNote: f.Name, linkNote: f.Link}
		case f.Mode == 0o755:
			d.Annotations[modeNote] = "0755"
		}
		m.Layers = append(m.Layers, d)
	}
	data, err := json.Marshal(m)
	if err == nil {
		// What a reader would refuse is not written.
		_, err = decodeManifest(data, e.Action, e.Step, e.Transcript)
	}
	return data, err
}

// decodeManifest reads a foreign manifest that is said to be the result of an action of a step with a transcript, and
// refuses whatever could not have been built by it or would not be published if it had been built here. The blobs are
// checked when they arrive.
func decodeManifest(data []byte, id cache.ActionID, step, transcript string) (cache.Entry, error) {
	e := cache.Entry{Action: id, Step: step, Transcript: transcript}
	var m manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return e, fmt.Errorf("it is not a manifest: %w", err)
	}
	if m.SchemaVersion != 2 || m.MediaType != manifestType || m.ArtifactType != resultType {
		return e, fmt.Errorf("it is not a result but %.100q of type %.100q", m.MediaType, m.ArtifactType)
	}
	if m.Annotations[stepNote] != step || m.Annotations[actionNote] != id.String() {
		return e, fmt.Errorf("it is the result of another action: %.100q, %.100q", m.Annotations[stepNote], m.Annotations[actionNote])
	}
	if len(m.Layers) > maxFiles+3 {
		return e, fmt.Errorf("it has %d files; more than %d are not accepted", len(m.Layers), maxFiles)
	}
	var total int64
	made := false
	for _, d := range m.Layers {
		b, err := d.blob()
		if err != nil {
			return e, err
		}
		if total += b.Size; total > maxOutputs || total < 0 {
			return e, fmt.Errorf("its files have more than %d bytes", int64(maxOutputs))
		}
		switch d.MediaType {
		case transcriptType:
			// The action ID is the hash of the transcript, so this names the very inputs that were asked for.
			made = made || b == cache.Blob{SHA256: id, Size: int64(len(transcript))}
		case logType:
			e.Log = b
		case outputType:
			f, err := d.file(b)
			if err != nil {
				return e, err
			}
			e.Files = append(e.Files, f)
		}
	}
	if !made {
		return e, errors.New("its transcript is not that of the action")
	}
	return complete(e, m.Annotations)
}

// complete fills in what follows from the files of an entry and holds it against what the manifest says.
func complete(e cache.Entry, notes map[string]string) (cache.Entry, error) {
	e.Content = cache.ContentOf(e.Files)
	if notes[contentNote] != e.Content.String() {
		return e, errors.New("its files do not have its content ID")
	}
	took, err := strconv.ParseInt(notes[tookNote], 10, 64)
	if err == nil && took > 0 { // only helps to decide what to build first
		e.Took = min(time.Duration(took), maxTook)
	}
	if len(e.Files) == 0 {
		return e, errors.New("it has no outputs")
	}
	return e, e.Check()
}

// file returns the output that d describes.
func (d descriptor) file(b cache.Blob) (cache.File, error) {
	f := cache.File{Name: d.Annotations[titleNote], Link: d.Annotations[linkNote]}
	for part := range strings.SplitSeq(f.Name, "/") {
		if reason := cache.BadName(part); reason != "" {
			return f, fmt.Errorf("the output %.100q is refused: %s", f.Name, reason)
		}
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
		return f, fmt.Errorf("the output %.100q has the mode %.20q", f.Name, mode)
	}
	return f, nil
}
