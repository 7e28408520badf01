// mounts.go mounts the kernel's file systems and the partitions that hold the machine's own data.

package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"skiff/internal/gpt"
)

// Type GUIDs of the partitions that a machine may write to; the labels differ between generations
// of the layout.
const (
	privateType = "440408bb-eb0b-4328-a6e5-a29038fad706"
	dataType    = "626f7474-6c65-6474-6861-726d61726b73"
)

const (
	dataDir    = "/var"
	privateDir = "/var/lib/skiff"
)

const (
	noExec = syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC
	noDev  = syscall.MS_NOSUID | syscall.MS_NODEV
)

type mount struct {
	kind, target string
	flags        uintptr
	options      string
}

// systemMounts are what every program expects to find, in the order in which they can be mounted.
func systemMounts() []mount {
	return []mount{
		{"proc", "/proc", noExec, ""},
		{"sysfs", "/sys", noExec, ""},
		{"devtmpfs", "/dev", syscall.MS_NOSUID, "mode=0755"},
		{"devpts", "/dev/pts", syscall.MS_NOSUID | syscall.MS_NOEXEC, "mode=0620,gid=5,ptmxmode=0666"},
		{"tmpfs", "/dev/shm", noDev, "mode=1777"},
		{"tmpfs", "/run", noDev, "mode=0755"},
		{"tmpfs", "/tmp", noDev, "mode=1777"},
	}
}

func mountSystem() error {
	for _, m := range systemMounts() {
		// made in devtmpfs; the others are directories of the read-only root
		if filepath.Dir(m.target) == "/dev" {
			if err := os.MkdirAll(m.target, 0o755); err != nil {
				return fmt.Errorf("mount point: %w", err)
			}
		}
		err := syscall.Mount(m.kind, m.target, m.kind, m.flags, m.options)
		if err != nil && !errors.Is(err, syscall.EBUSY) { // the kernel has mounted /dev before init
			return fmt.Errorf("mount %s on %s: %w", m.kind, m.target, err)
		}
	}
	return nil
}

// mountData mounts DATA on /var and PRIVATE below it, and says what it did, one line each. A
// machine without them, or with damaged ones, still boots: it then forgets at power-off what it
// would have kept.
func mountData() []string {
	parts, err := writablePartitions()
	if err != nil {
		parts = nil
	}
	return []string{
		mountOne(parts, dataType, "data", dataDir),
		mountOne(parts, privateType, "private", privateDir),
	}
}

func mountOne(parts []partition, kind, name, target string) string {
	if err := os.MkdirAll(target, 0o755); err != nil {
		return fmt.Sprintf("%s: not mounted: %v", name, err)
	}
	i := slices.IndexFunc(parts, func(p partition) bool { return p.Type == kind })
	reason := "no partition with a file system"
	if i >= 0 {
		err := syscall.Mount(parts[i].device, target, parts[i].kind, noDev, "")
		if err == nil {
			return fmt.Sprintf("%s: %s on %s (%s, %d MiB)", name, parts[i].device, target, parts[i].kind,
				parts[i].Size>>20)
		}
		reason = fmt.Sprintf("mount %s: %v", parts[i].device, err)
	}
	if err := syscall.Mount("tmpfs", target, "tmpfs", noDev, "mode=0755"); err != nil {
		return fmt.Sprintf("%s: not mounted: %v", name, err)
	}
	return fmt.Sprintf("%s: in memory on %s (%s)", name, target, reason)
}

// partition is a partition of one of the machine's disks.
type partition struct {
	gpt.Partition
	device string // "/dev/vda12"
	kind   string // of its file system: "ext4" or "xfs"
}

// writablePartitions lists the partitions of both kinds that hold a file system, the largest first:
// a layout with a disk of its own for the data still has a small data partition on the first disk.
func writablePartitions() ([]partition, error) {
	nodes, err := filepath.Glob("/sys/class/block/*/partition")
	if err != nil {
		return nil, err
	}
	tables := make(map[string][]gpt.Partition)
	var found []partition
	for _, node := range nodes {
		dir, err := filepath.EvalSymlinks(filepath.Dir(node))
		if err != nil {
			continue
		}
		disk, name := filepath.Base(filepath.Dir(dir)), filepath.Base(dir)
		if _, ok := tables[disk]; !ok {
			tables[disk] = readTable("/dev/" + disk)
		}
		number := partitionNumber(node)
		for _, p := range tables[disk] {
			device := "/dev/" + name
			if p.Number != number || (p.Type != privateType && p.Type != dataType) {
				continue
			}
			if kind := fileSystem(device); kind != "" {
				found = append(found, partition{p, device, kind})
			}
		}
	}
	slices.SortStableFunc(found, func(a, b partition) int { return cmp.Compare(b.Size, a.Size) })
	return found, nil
}

// readTable returns no partitions for a disk that has no readable table: it is then none of ours.
func readTable(disk string) []gpt.Partition {
	f, err := os.Open(disk)
	if err != nil {
		return nil
	}
	defer f.Close()
	parts, err := gpt.Read(f)
	if err != nil {
		return nil
	}
	return parts
}

func partitionNumber(file string) int {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return n
}

// fileSystem recognises ext4 and XFS by the magic numbers of their superblocks; anything else is
// "".
func fileSystem(device string) string {
	f, err := os.Open(device)
	if err != nil {
		return ""
	}
	defer f.Close()
	head := make([]byte, 1024+0x38+2)
	if _, err := io.ReadFull(f, head); err != nil {
		return ""
	}
	switch {
	case string(head[:4]) == "XFSB":
		return "xfs"
	case string(head[1024+0x38:]) == "\x53\xef":
		return "ext4"
	}
	return ""
}
