// Command tool is the only program of the engine tests' base image. Each run does what its
// arguments say: "tool write /output/a hello , print done".
package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"buildsys/internal/buildtest/fakerpm"
)

func main() {
	var cmd []string
	for _, arg := range append(os.Args[1:], ",") {
		if arg != "," {
			cmd = append(cmd, arg)
			continue
		}
		if err := run(cmd[0], cmd[1:]); err != nil {
			fmt.Println(cmd[0]+":", err)
			os.Exit(1)
		}
		cmd = nil
	}
}

// talk says hello at sockets, and prints how much is answered and how it begins.
func talk(paths []string) error {
	for _, path := range paths {
		name := filepath.Base(path)
		c, err := net.Dial("unix", path)
		if err != nil {
			fmt.Println("no socket", name)
			continue
		}
		if _, err := fmt.Fprintln(c, "hello", name); err != nil {
			return err
		}
		answer, err := io.ReadAll(c)
		if err != nil {
			return err
		}
		first, _, _ := strings.Cut(string(answer), "\n")
		fmt.Println("socket", name, len(answer), first)
	}
	return nil
}

// tell sends a text that ends with a zero byte to a socket, and waits until that closes the
// connection.
func tell(path, text string) error {
	c, err := net.Dial("unix", path)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(c, text+"\x00"); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, c)
	return err
}

func run(verb string, args []string) error {
	switch verb {
	case "tell":
		return tell(args[0], strings.Join(args[1:], " "))
	case "print":
		fmt.Println(strings.Join(args, " "))
	case "raw": // in Go syntax, so that a Dockerfile can contain any byte
		s, err := strconv.Unquote(`"` + args[0] + `"`)
		fmt.Print(s)
		return err
	case "write":
		return os.WriteFile(args[0], []byte(strings.Join(args[1:], " ")), 0o600)
	case "cat":
		data, err := os.ReadFile(args[0])
		fmt.Println(string(data))
		return err
	case "size":
		for _, name := range args {
			if info, err := os.Stat(name); err == nil {
				fmt.Println(name, info.Mode(), info.Size())
			} else {
				fmt.Println("no", name)
			}
		}
	case "list":
		return list(args[0], args[1])
	case "env": // appends a variable to a file
		f, err := os.OpenFile(args[1], os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(f, "%s=%q\n", args[0], os.Getenv(args[0]))
		return errors.Join(err, f.Close())
	case "obey": // what a build's own context asks for, as in the Fake of package buildtest
		if data, err := os.ReadFile(args[0] + "/LEAVE"); err == nil {
			words := strings.Fields(string(data))
			return leave(words[0], words[1:])
		}
		if data, err := os.ReadFile(args[0] + "/FAIL"); err == nil {
			fmt.Print(string(data))
			os.Exit(1)
		}
		if _, err := os.Stat(args[0] + "/HANG"); err == nil {
			time.Sleep(time.Hour)
		}
	case "spawn": // so many processes at once
		n, err := strconv.Atoi(args[0])
		for i := 0; i < n && err == nil; i++ {
			err = exec.Command("/tool", "hang").Start()
		}
		return err
	case "leave":
		return leave(args[0], args[1:])
	case "symlink":
		return os.Symlink(args[0], args[1])
	case "mkdir":
		return os.MkdirAll(args[0], 0o700)
	case "chmod":
		mode, err := strconv.ParseUint(args[0], 8, 32)
		if err != nil {
			return err
		}
		return syscall.Chmod(args[1], uint32(mode))
	case "dial":
		for _, addr := range args {
			if c, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
				c.Close()
				fmt.Println("reached", addr)
			} else {
				fmt.Println("no way to", addr)
			}
		}
		ifs, err := net.Interfaces()
		for _, i := range ifs {
			fmt.Println("interface", i.Name)
		}
		return err
	case "talk":
		return talk(args)
	case "exit":
		n, _ := strconv.Atoi(args[0])
		os.Exit(n)
	case "repeat": // standard input
		_, err := io.Copy(os.Stdout, os.Stdin)
		return err
	case "terminal": // its size, once that is as wide as args[0]
		for {
			size, err := unix.IoctlGetWinsize(0, unix.TIOCGWINSZ)
			if err != nil || fmt.Sprint(size.Col) == args[0] {
				fmt.Println("terminal", err == nil)
				return nil
			}
		}
	case "flood": // args[0] lines of 100 bytes
		n, err := strconv.Atoi(args[0])
		for i := range n {
			fmt.Printf("%099d\n", i)
		}
		return err
	case "burst": // args[0] bytes, in lines of args[1] bytes, as fast as they can be written
		return burst(os.Stdout, args[0], args[1])
	case "rpm": // the beginning of one, NAME-VERSION-RELEASE.ARCH.rpm; NAME may be a variable
		file := os.ExpandEnv(args[0])
		spec, _, _ := strings.Cut(filepath.Base(file), "-")
		return os.WriteFile(file, fakerpm.Header(filepath.Base(file), spec), 0o600)
	case "grow": // a file, to args[1] bytes
		n, err := strconv.ParseInt(args[1], 10, 64)
		if err != nil {
			return err
		}
		return os.Truncate(args[0], n)
	case "sleep": // seconds
		n, err := strconv.Atoi(args[0])
		time.Sleep(time.Duration(n) * time.Second)
		return err
	case "fill": // a file, until nothing more fits
		return fill(args[0])
	case "hang":
		time.Sleep(time.Hour)
	default:
		return fmt.Errorf("unknown verb")
	}
	return nil
}

// leave makes what outputs must not be.
func leave(kind string, args []string) error {
	name := args[0]
	switch kind {
	case "disk":
		return syscall.Mknod(name, syscall.S_IFBLK|0o666, 8<<8)
	case "device":
		return syscall.Mknod(name, syscall.S_IFCHR|0o666, 1<<8|3)
	case "fifo":
		return syscall.Mkfifo(name, 0o666)
	case "link":
		return os.Symlink(args[1], name)
	case "mode": // of a file
		mode, err := strconv.ParseUint(args[1], 8, 32)
		return errors.Join(os.WriteFile(name, []byte("x"), 0o755), err, syscall.Chmod(name, uint32(mode)))
	case "capabilities": // all of them, in the format of version 2 (linux/capability.h)
		all := "\x01\x00\x00\x02\xff\xff\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff\x00\x00\x00\x00"
		return errors.Join(os.WriteFile(name, []byte("x"), 0o755),
			syscall.Setxattr(name, "security.capability", []byte(all), 0))
	case "holes":
		for i := range 2 {
			if err := hole(fmt.Sprint(name, i)); err != nil {
				return err
			}
		}
		return nil
	case "files":
		n, err := strconv.Atoi(args[1])
		for i := range n {
			err = errors.Join(err, os.WriteFile(fmt.Sprintf("%s%06d", name, i), nil, 0o644))
		}
		return err
	}
	return fmt.Errorf("unknown kind")
}

// hole makes a file that is nothing but a hole, as large as it may be.
func hole(name string) error {
	signal.Ignore(syscall.SIGXFSZ)
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	for size := int64(math.MaxInt64); size > 0; size /= 2 {
		if err = f.Truncate(size); err == nil {
			fmt.Println("a hole of", size)
			return nil
		}
	}
	return err
}

// list writes what a build sees of a tree to a file.
func list(dir, out string) error {
	var b strings.Builder
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		rel, _ := filepath.Rel(dir, p)
		fmt.Fprintf(&b, "%s %v %d:%d", rel, info.Mode(), st.Uid, st.Gid)
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %d %s", info.ModTime().Unix(), data) // a directory's time is the engine's
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(p)
			if err != nil {
				return err
			}
			b.WriteString(" -> " + target)
		}
		b.WriteByte('\n')
		return nil
	})
	if err != nil {
		return err
	}
	return os.WriteFile(out, []byte(b.String()), 0o644)
}

// fill writes to a file until that fails.
func fill(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	for buf := make([]byte, 1<<20); ; {
		if _, err := f.Write(buf); err != nil {
			return err
		}
	}
}

// burst writes lines of a length, size bytes in all. The last line tells their number.
func burst(w io.Writer, size, length string) error {
	n, err := strconv.Atoi(size)
	if err != nil {
		return err
	}
	l, err := strconv.Atoi(length)
	if err != nil {
		return err
	}
	line := append(bytes.Repeat([]byte("x"), l-1), '\n')
	out := bufio.NewWriterSize(w, 64<<10)
	for range n / l {
		if _, err := out.Write(line); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "%d lines\n", n/l)
	return out.Flush()
}
