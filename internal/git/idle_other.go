// Systems whose processes do not say whether they wait.

//go:build !linux

package git

import (
	"context"
	"errors"
)

func watch(context.Context, int, func()) {}

func stalled(string, string) error { return errors.New("it waited for something") }
