// maker: which program and which engine built a result. It is for provenance; no key and no lookup
// depends on it.

package cache

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// makersDir has a file for each action whose result was built here.
const makersDir = "makers"

// Maker is what built a result.
type Maker struct {
	Program string // "v0.2.0 (1a2b3c4d5e6f)"
	Engine  string // "Docker engine 20.10.24"
}

const (
	makerHeader = "buildsys maker 1\n"
	maxMaker    = 4 << 10
)

func (s *Store) makerPath(id ActionID) string {
	name := id.String()
	return s.path(makersDir, name[:2], name)
}

// PutMaker notes what built the result of an action. A store of an older program has no directory
// for it; that is made.
func (s *Store) PutMaker(id ActionID, m Maker) error {
	unlock, err := s.lock(unix.LOCK_SH) // prevents trimming
	if err != nil {
		return err
	}
	defer unlock()
	var t Transcript
	t.text = append(t.text, makerHeader...)
	t.Add("action", id.String())
	t.Add("program", m.Program)
	t.Add("engine", m.Engine)
	if len(t.text) > maxMaker-sumLength {
		return &StoreError{Doing: "note what built a result", Err: errors.New("it is too long")}
	}
	at := s.makerPath(id)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return &StoreError{Doing: "note what built a result", Err: err}
	}
	return s.writeSmall(at, appendSum(t.String()), false)
}

// MakerOf returns what built the result of an action, or false if that is not known.
func (s *Store) MakerOf(id ActionID) (Maker, bool) {
	data, _, err := readRegular(s.makerPath(id), maxMaker)
	if err != nil {
		return Maker{}, false
	}
	text, err := checkSum(data)
	rest, ok := strings.CutPrefix(text, makerHeader)
	if err != nil || !ok {
		return Maker{}, false
	}
	p := parser{rest: rest}
	of := p.line("action", 1)[0]
	m := Maker{Program: p.line("program", 1)[0], Engine: p.line("engine", 1)[0]}
	return m, p.err == nil && of == id.String()
}

// removeMaker forgets what built the entry at a path.
func (s *Store) removeMaker(entry string) {
	id, err := ParseActionID(filepath.Base(entry))
	if err != nil {
		return
	}
	if err := os.Remove(s.makerPath(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.warn("what built a result is still noted: %v", err)
	}
}
