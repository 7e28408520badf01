// last: how long each step took when it was last built, for forecasts and the order of builds.

package cache

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"strconv"
	"time"
)

const recordHeader = "buildsys last 1\n"

// record is what the store remembers under a key. Records are hints: losing one costs time, never a
// result.
type record struct {
	Key    string
	Action ActionID
	Took   time.Duration
}

// Took returns how long a step, such as "package/bash x86_64", took when it was last stored by any
// checkout.
func (s *Store) Took(step string) (time.Duration, bool) {
	r, ok := s.recall(tookKey(step))
	return r.Took, ok
}

func tookKey(step string) string { return "took " + step }

// remember stores a record if it is new. It only warns of failures. The caller holds the lock,
// shared.
func (s *Store) remember(r record) {
	var t Transcript
	t.text = append(t.text, recordHeader...)
	t.Add("key", r.Key)
	t.Add("action", r.Action.String())
	t.Add("took", strconv.FormatInt(int64(r.Took), 10))
	if old, ok := s.recall(r.Key); ok && old == r {
		return
	}
	if err := s.writeSmall(s.recordPath(r.Key), appendSum(t.String()), false); err != nil {
		s.warn("%v", err)
	}
}

func (s *Store) recall(key string) (record, bool) {
	data, _, err := readRegular(s.recordPath(key), 1<<20)
	if err != nil {
		return record{}, false
	}
	r, err := decodeRecord(data)
	if err != nil || r.Key != key {
		_ = os.Remove(s.recordPath(key))
		return record{}, false
	}
	return r, true
}

func decodeRecord(data []byte) (record, error) {
	text, err := checkSum(data)
	if err != nil {
		return record{}, err
	}
	if len(text) < len(recordHeader) || text[:len(recordHeader)] != recordHeader {
		return record{}, errors.New("it is not a record of a known format")
	}
	p := parser{rest: text[len(recordHeader):]}
	var r record
	r.Key = p.line("key", 1)[0]
	p.hash((*[32]byte)(&r.Action), p.line("action", 1)[0])
	r.Took = time.Duration(p.number(p.line("took", 1)[0]))
	return r, p.err
}

func (s *Store) recordPath(key string) string {
	sum := sha256.Sum256([]byte(key))
	name := hex.EncodeToString(sum[:])
	return s.path(lastDir, name[:2], name)
}
