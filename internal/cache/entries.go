package cache

import (
	"errors"
)

// errEnough ends a walk.
var errEnough = errors.New("enough")

// Entries calls visit with the entries of the store in any order, until it returns false. It leaves
// out what is damaged, and records no use. Blobs may be missing.
func (s *Store) Entries(visit func(Entry) bool) error {
	err := s.walk(entriesDir, func(f stored) error {
		data, _, err := readRegular(f.path, maxEntry)
		if err != nil {
			return nil
		}
		if e, err := decodeEntry(data); err == nil && !visit(e) {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}
