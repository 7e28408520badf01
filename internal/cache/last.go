// last: how long each step took when it was last built, for forecasts and the order of builds.

package cache

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"
)

const recordHeader = "buildsys last 2\n"

// remember records how long a step took. Records are hints: losing one costs time, never a result;
// so it only warns of failures. The caller holds the lock, shared.
func (s *Store) remember(step string, took time.Duration) {
	var t Transcript
	t.text = append(t.text, recordHeader...)
	t.Add("step", step)
	t.Add("took", strconv.FormatInt(int64(took), 10))
	if err := s.writeSmall(s.recordPath(step), appendSum(t.String()), false); err != nil {
		s.warn("%v", err)
	}
}

// Took returns how long a step, such as "package/bash x86_64", took when it was last stored by any
// checkout.
func (s *Store) Took(step string) (time.Duration, bool) {
	data, _, err := readRegular(s.recordPath(step), 1<<20)
	if err != nil {
		return 0, false
	}
	of, took, err := decodeRecord(data)
	if err != nil || of != step {
		_ = os.Remove(s.recordPath(step))
		return 0, false
	}
	return took, true
}

func decodeRecord(data []byte) (step string, took time.Duration, err error) {
	text, err := checkSum(data)
	if err != nil {
		return "", 0, err
	}
	rest, ok := strings.CutPrefix(text, recordHeader)
	if !ok {
		return "", 0, errors.New("it is not a record of a known format")
	}
	p := parser{rest: rest}
	step = p.line("step", 1)[0]
	took = time.Duration(p.number(p.line("took", 1)[0]))
	return step, took, p.err
}

func (s *Store) recordPath(step string) string {
	sum := sha256.Sum256([]byte(step))
	name := hex.EncodeToString(sum[:])
	return s.path(lastDir, name[:2], name)
}
