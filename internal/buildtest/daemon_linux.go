// A daemon that ends with its test, as Linux can do it.

package buildtest

import "syscall"

func endsWithUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} }
