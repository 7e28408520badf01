// canonical: the digests of manifests that Twoliter.lock holds.

package kit

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/text/unicode/norm"

	"buildsys/internal/oci"
)

// Digest returns the digest of a manifest in the form of Twoliter.lock: the sha256, in base64, of
// its canonical JSON. It does not depend on how a registry or a tool formats the manifest.
func Digest(data []byte) (string, error) {
	canonical, err := canonicalJSON(data)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(canonical)
	return base64.StdEncoding.EncodeToString(sum[:]), nil
}

// canonicalJSON returns the form of http://wiki.laptop.org/go/Canonical_JSON: sorted keys, no white
// space, whole numbers, and strings in Unicode normal form C that escape only quotes and
// backslashes.
func canonicalJSON(data []byte) ([]byte, error) {
	if err := oci.CheckObjects(data); err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("data follows the JSON document")
	}
	var out bytes.Buffer
	if err := writeCanonical(&out, v); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func writeCanonical(out *bytes.Buffer, v any) error {
	switch v := v.(type) {
	case nil:
		out.WriteString("null")
	case bool:
		out.WriteString(strconv.FormatBool(v))
	case string:
		writeString(out, v)
	case json.Number:
		n, err := strconv.ParseInt(v.String(), 10, 64)
		if err != nil {
			return fmt.Errorf("%.40s is not a whole number", v)
		}
		out.WriteString(strconv.FormatInt(n, 10))
	case []any:
		out.WriteByte('[')
		for i, element := range v {
			if i > 0 {
				out.WriteByte(',')
			}
			if err := writeCanonical(out, element); err != nil {
				return err
			}
		}
		out.WriteByte(']')
	case map[string]any:
		return writeObject(out, v)
	}
	return nil
}

func writeObject(out *bytes.Buffer, object map[string]any) error {
	normal := make(map[string]any, len(object))
	for key, v := range object {
		normal[norm.NFC.String(key)] = v
	}
	out.WriteByte('{')
	for i, key := range slices.Sorted(maps.Keys(normal)) {
		if i > 0 {
			out.WriteByte(',')
		}
		writeString(out, key)
		out.WriteByte(':')
		if err := writeCanonical(out, normal[key]); err != nil {
			return err
		}
	}
	out.WriteByte('}')
	return nil
}

var escaped = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

func writeString(out *bytes.Buffer, s string) {
	out.WriteByte('"')
	out.WriteString(escaped.Replace(norm.NFC.String(s)))
	out.WriteByte('"')
}
