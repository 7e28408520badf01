// Which files were made in a directory, as the kernel reports it.

package buildkit

import (
	"bytes"
	"syscall"
	"testing"
	"unsafe"
)

// watch returns a function that returns the names of all files that were made in dir meanwhile,
// whether or not they are still there.
func watch(t *testing.T, dir string) (made func() []string) {
	t.Helper()
	fd, err := syscall.InotifyInit1(syscall.IN_NONBLOCK | syscall.IN_CLOEXEC)
	must(t, err)
	t.Cleanup(func() { syscall.Close(fd) })
	_, err = syscall.InotifyAddWatch(fd, dir, syscall.IN_CREATE|syscall.IN_MOVED_TO|syscall.IN_ATTRIB)
	must(t, err)
	return func() (names []string) {
		buf := make([]byte, 64<<10)
		n, err := syscall.Read(fd, buf)
		if err != nil && err != syscall.EAGAIN {
			t.Fatal(err)
		}
		for rest := buf[:max(n, 0)]; len(rest) >= syscall.SizeofInotifyEvent; {
			event := (*syscall.InotifyEvent)(unsafe.Pointer(&rest[0]))
			end := syscall.SizeofInotifyEvent + int(event.Len)
			name, _, _ := bytes.Cut(rest[syscall.SizeofInotifyEvent:end], []byte{0})
			names, rest = append(names, string(name)), rest[end:]
		}
		return names
	}
}
