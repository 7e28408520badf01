// Key search: looks for the private keys that a build was given in the outputs that it made.

package buildkit

import (
	"bytes"
	"encoding/base64"
)

// A build that signs is given private keys, and its recipe may come from a tree. Its outputs go to
// caches, disks and people, so none may have a key in it, by mistake or not. Only bytes as they
// are can be found: a recipe that hides a key from the search, in a compressed image say, is one
// that the caller should not have trusted with it.

// keyPart is a part of a private key that nothing else has in it.
type keyPart struct {
	secret string // name of the secret
	bytes  []byte
}

// minKeyLine is the least length of a line that is searched for. Those of PEM and of armor have 64
// characters or more, except for the last.
const minKeyLine = 48

// keyParts returns, for each secret that is a private key in PEM or in OpenPGP's armor, one of its
// lines as text and in binary form. Certificates and other secrets may well belong into
// outputs.
func keyParts(secrets map[string][]byte) (parts []keyPart) {
	for name, data := range secrets {
		lines := keyLines(data)
		if len(lines) == 0 {
			continue
		}
		// A key begins with what is public of it; the middle of an OpenPGP key with a subkey is what
		// is public of that. A third lies behind the one and before the other.
		line := lines[len(lines)/3]
		parts = append(parts, keyPart{name, line})
		// Lines of base64 begin at whole bytes.
		if binary, err := base64.StdEncoding.DecodeString(string(line)); err == nil {
			parts = append(parts, keyPart{name, binary})
		}
	}
	return parts
}

// keyLines returns the full lines of a private key.
func keyLines(data []byte) (lines [][]byte) {
	inside := false
	for line := range bytes.Lines(data) {
		line = bytes.TrimSpace(line)
		switch {
		case bytes.HasPrefix(line, []byte("-----")):
			inside = bytes.Contains(line, []byte("BEGIN")) &&
				bytes.Contains(line, []byte("PRIVATE KEY"))
		case inside && len(line) >= minKeyLine && !bytes.Contains(line, []byte(":")):
			lines = append(lines, line)
		}
	}
	return lines
}

// keySearch is a writer that looks for parts of keys in what it is given.
type keySearch struct {
	parts []keyPart
	tail  []byte // end of what was written, in which a part may have begun
	found string // name of the secret that was found; empty if none was
}

// Write never fails.
func (k *keySearch) Write(p []byte) (int, error) {
	if len(k.parts) == 0 || k.found != "" {
		return len(p), nil
	}
	longest := 0
	for _, part := range k.parts {
		longest = max(longest, len(part.bytes))
	}
	// Once over the seam, with as much of both sides as a part could have, and once over the rest.
	seam := append(k.tail, p[:min(len(p), longest-1)]...)
	for _, part := range k.parts {
		if bytes.Contains(seam, part.bytes) || bytes.Contains(p, part.bytes) {
			k.found = part.secret
		}
	}
	if len(p) >= longest {
		seam = append(seam[:0], p[len(p)-longest+1:]...)
	}
	k.tail = append([]byte(nil), seam[max(0, len(seam)-longest+1):]...)
	return len(p), nil
}
