// id: the hashes that identify the inputs and the outputs of a step.

package cache

import (
	"encoding/hex"
	"fmt"
)

// ActionID is the sha256 of a step's transcript, which holds everything that determines its
// outputs.
type ActionID [32]byte

// ContentID is the sha256 of the names and bytes of a step's outputs. Equal outputs have equal
// content IDs, whenever and wherever they were made. Transcripts name dependencies by content ID,
// so a dependency that is rebuilt to the same bytes rebuilds nothing above it (compare buildid.go
// of cmd/go/internal/work).
type ContentID [32]byte

// String returns 64 lower-case hex digits.
func (id ActionID) String() string { return hex.EncodeToString(id[:]) }

// String returns 64 lower-case hex digits.
func (id ContentID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText returns the form of String.
func (id ActionID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// MarshalText returns the form of String.
func (id ContentID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads the form of String.
func (id *ActionID) UnmarshalText(text []byte) error {
	return parseHash((*[32]byte)(id), string(text))
}

// UnmarshalText reads the form of String.
func (id *ContentID) UnmarshalText(text []byte) error {
	return parseHash((*[32]byte)(id), string(text))
}

// ParseActionID reads the form of String.
func ParseActionID(text string) (id ActionID, err error) {
	err = id.UnmarshalText([]byte(text))
	return id, err
}

// ParseContentID reads the form of String.
func ParseContentID(text string) (id ContentID, err error) {
	err = id.UnmarshalText([]byte(text))
	return id, err
}

// parseHash accepts only the form that String returns.
func parseHash(into *[32]byte, text string) error {
	var sum [32]byte
	if len(text) != hex.EncodedLen(len(sum)) {
		return fmt.Errorf("%q is not a sha256: it has %d characters, not %d", text, len(text),
			hex.EncodedLen(len(sum)))
	}
	if _, err := hex.Decode(sum[:], []byte(text)); err != nil || hex.EncodeToString(sum[:]) != text {
		return fmt.Errorf("%q is not a sha256 in lower-case hex digits", text)
	}
	*into = sum
	return nil
}
