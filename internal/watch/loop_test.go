// loop_test: what runs when, for a list of changes and of what becomes of them.

package watch

import (
	"context"
	"errors"
	"slices"
	"testing"
)

// story is a loop whose steps are told by the test.
type story struct {
	*testing.T
	changes chan struct{}
	events  chan string
	made    []made // by change
	ends    chan error
	count   int
}

type made struct {
	same bool
	err  error
}

func newStory(t *testing.T, all ...made) *story {
	return &story{T: t, made: all, changes: make(chan struct{}), events: make(chan string),
		ends: make(chan error)}
}

// do starts the loop. It returns what ends it.
func (s *story) do() (end func() error) {
	ctx, cancel := context.WithCancelCause(context.Background())
	over := make(chan error, 1)
	l := Loop{
		Next: func(ctx context.Context) (Change, error) {
			select {
			case <-s.changes:
				return Change{}, nil
			case <-ctx.Done():
				return Change{}, context.Cause(ctx)
			}
		},
		Make: func(context.Context, Change) (bool, error) {
			m := s.made[s.count]
			s.count++
			s.events <- "make"
			return m.same, m.err
		},
		Run: func(ctx context.Context) error {
			s.events <- "run"
			select {
			case <-ctx.Done():
				s.events <- "stop"
				return context.Cause(ctx)
			case err := <-s.ends:
				return err
			}
		},
		Failed: func(err error, running bool) {
			if running {
				s.events <- "failed beside"
			} else {
				s.events <- "failed alone"
			}
		},
		Same:  func() { s.events <- "same" },
		Ended: func(error) { s.events <- "ended" },
	}
	go func() { over <- l.Do(ctx) }()
	return func() error {
		cancel(errors.New("enough"))
		for {
			select {
			case <-s.events:
			case err := <-over:
				return err
			}
		}
	}
}

func (s *story) want(want ...string) {
	s.Helper()
	var got []string
	for range want {
		got = append(got, <-s.events)
	}
	if !slices.Equal(got, want) {
		s.Fatalf("events %q, want %q", got, want)
	}
}

// A machine runs until there is a new image; what could not be built, and what came out the same,
// leaves it alone.
func TestLoop(t *testing.T) {
	s := newStory(t, made{}, made{err: errors.New("bad")}, made{same: true}, made{}, made{})
	end := s.do()
	s.want("make", "run")
	s.changes <- struct{}{}
	s.want("make", "failed beside")
	s.changes <- struct{}{}
	s.want("make", "same")
	s.changes <- struct{}{}
	s.want("make", "stop", "run")
	if err := end(); err == nil || err.Error() != "enough" {
		t.Errorf("error %v", err)
	}
}

// Without a machine the next change is waited for, and then there is one even for the same image.
func TestLoopAlone(t *testing.T) {
	s := newStory(t, made{err: errors.New("bad")}, made{}, made{same: true})
	end := s.do()
	s.want("make", "failed alone")
	s.changes <- struct{}{}
	s.want("make", "run")
	s.ends <- nil
	s.want("ended")
	s.changes <- struct{}{}
	s.want("make", "run")
	_ = end()
}
