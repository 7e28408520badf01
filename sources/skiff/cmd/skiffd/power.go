// power.go waits for the power button, which the kernel reports as a key of an input device.

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// From <linux/input-event-codes.h>, and struct input_event of a 64-bit kernel.
const (
	evKey     = 1
	keyPower  = 116
	eventSize = 24
	eventType = 16 // offset of the type, after two 8-byte times
)

// startPower leaves "skiffd power" running. Whoever reads the ready line may press the button at
// once, so it starts long before that. It ends only when the button has been pressed, or when there
// is none.
func startPower() error {
	cmd := exec.Command("/usr/sbin/skiffd", "power")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("watch the power button: %w", err)
	}
	return nil
}

// waitForPowerButton returns after it has asked init to shut the machine down, or with an error
// when there is no button to wait for.
func waitForPowerButton() error {
	names, err := filepath.Glob("/dev/input/event*")
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return errors.New("no input device: the power button will do nothing")
	}
	pressed := make(chan error, len(names))
	for _, name := range names {
		go func() { pressed <- watch(name) }()
	}
	for range names { // one device may fail; the button may be another
		if err = <-pressed; err == nil {
			// Busybox init takes SIGUSR2 for "power off": it stops everything, unmounts and ends the
			// machine.
			return syscall.Kill(1, syscall.SIGUSR2)
		}
	}
	return err
}

func watch(device string) error {
	f, err := os.Open(device)
	if err != nil {
		return fmt.Errorf("power button: %w", err)
	}
	defer f.Close()
	if err := waitForPress(f); err != nil {
		return fmt.Errorf("power button: %s: %w", device, err)
	}
	return nil
}

// waitForPress reads events until the power key goes down.
func waitForPress(r io.Reader) error {
	event := make([]byte, eventSize)
	for {
		if _, err := io.ReadFull(r, event); err != nil {
			return err
		}
		ne := binary.NativeEndian
		if ne.Uint16(event[eventType:]) == evKey && ne.Uint16(event[eventType+2:]) == keyPower &&
			ne.Uint32(event[eventType+4:]) == 1 {
			return nil
		}
	}
}
