package errkind

import (
	"errors"
	"fmt"
	"testing"
)

// typed says its kind by a method.
type typed struct{ kind Kind }

func (typed) Error() string     { return "typed" }
func (t typed) ErrorKind() Kind { return t.kind }

func TestOf(t *testing.T) {
	plain := errors.New("plain")
	for _, tt := range []struct {
		name string
		err  error
		want Kind
	}{
		{"nothing", nil, Unexpected},
		{"plain", plain, Unexpected},
		{"wrapped", BadUsage(plain), Usage},
		{"formatted", Environmentf("no %s: %w", "engine", plain), Environment},
		{"below text", fmt.Errorf("more: %w", BadEnvironment(plain)), Environment},
		{"outermost", BadUsage(fmt.Errorf("more: %w", BadEnvironment(plain))), Usage},
		{"method", fmt.Errorf("more: %w", typed{Integrity}), Integrity},
		{"joined", errors.Join(plain, typed{Environment}, typed{Integrity}), Integrity},
		{"joined below a kind", BadEnvironment(errors.Join(typed{Integrity})), Environment},
	} {
		if got := Of(tt.err); got != tt.want {
			t.Errorf("%s: kind %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestWrapKeepsTheError(t *testing.T) {
	if Wrap(Usage, nil) != nil {
		t.Error("nil became an error")
	}
	err := BadUsage(fmt.Errorf("more: %w", typed{Integrity}))
	if !Is[typed](err) || Is[*typed](err) || err.Error() != "more: typed" {
		t.Errorf("%v lost what it wraps", err)
	}
}
