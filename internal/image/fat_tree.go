// The files of a FAT file system as those of others: it has neither inodes nor owners nor modes.

package image

import (
	"errors"
	"fmt"
	"time"
)

// fatRoot stands for the root directory, which is in no directory.
const fatRoot = 1 << 32

// Root implements Files.
func (f *FAT) Root() (Inode, error) {
	return Inode{Number: fatRoot, Mode: ModeDir | 0o755, Links: 1, Size: int64(len(f.root)),
		Stored: int64(len(f.root))}, nil
}

// Stat implements Files. The modes are those of Linux for mounted file systems.
func (f *FAT) Stat(e DirEntry) (Inode, error) {
	i := Inode{Number: e.inode, Mode: ModeRegular | 0o755, Links: 1, Size: e.Size, Time: e.time}
	if e.Dir {
		i.Mode = ModeDir | 0o755
	}
	stored, err := f.storedAt(uint32(e.inode))
	if err != nil {
		return i, fmt.Errorf("%s: %w", e.Name, err)
	}
	i.Stored = stored
	return i, nil
}

// storedAt returns how many bytes the clusters of a chain have. Each cluster is looked at once, as
// a chain of all clusters would else be walked for each of millions of files.
func (f *FAT) storedAt(start uint32) (int64, error) {
	if start == 0 { // an empty file
		return 0, nil
	}
	if n, known := f.stored[start]; known {
		return n, nil
	}
	if f.owner == nil {
		f.owner, f.stored = make([]uint32, len(f.next)), map[uint32]int64{}
	}
	n := int64(0)
	for cluster := start; cluster != 0 && cluster < f.end; cluster = f.next[cluster] {
		switch {
		case cluster < 2 || int64(cluster) >= int64(len(f.next)) || f.owner[cluster] == start:
			return 0, errors.New("its chain of clusters is damaged")
		case f.owner[cluster] != 0:
			return 0, errors.New("it has clusters of another file: the file system is damaged")
		}
		f.owner[cluster] = start
		n += f.clusterSize
	}
	f.stored[start] = n
	return n, nil
}

// List implements Files.
func (f *FAT) List(dir Inode) ([]DirEntry, error) {
	switch {
	case dir.Type() != ModeDir:
		return nil, errNoDir
	case dir.Number == fatRoot:
		return plainNames(parseFATDir(f.root))
	}
	data, err := f.chain(uint32(dir.Number))
	if err != nil {
		return nil, err
	}
	return plainNames(parseFATDir(data))
}

// plainNames returns entries of a directory unless firmware may take another file for one of them.
func plainNames(entries []DirEntry) ([]DirEntry, error) {
	names := map[string]bool{}
	for _, e := range entries {
		if err := clash(names, e); err != nil {
			return nil, err
		}
	}
	return entries, nil
}

// Target implements Files: there are no symbolic links.
func (f *FAT) Target(Inode) (string, error) { return "", errors.New("is not a symbolic link") }

// Attributes implements Files: there are none.
func (f *FAT) Attributes(Inode) (map[string][]byte, error) { return nil, nil }

// Copy implements Files.
func (f *FAT) Copy(to Sink, file Inode) error {
	left := file.Size
	for cluster := uint32(file.Number); left > 0; cluster = f.next[cluster] {
		if cluster < 2 || int64(cluster) >= int64(len(f.next)) {
			return fmt.Errorf("its chain leads to cluster %d of %d: the file system is damaged",
				cluster, len(f.next)-2)
		}
		n := min(f.clusterSize, left)
		at := f.dataStart + int64(cluster-2)*f.clusterSize
		if err := copySection(to, f.part, f.size, at, n); err != nil {
			return err
		}
		left -= n
	}
	return nil
}

// Usage implements Files.
func (f *FAT) Usage() Usage {
	return Usage{Total: f.size, Free: int64(len(f.next)-2)*f.clusterSize - f.Used()}
}

// fatTime returns a date and a time of day as seconds since 1970. FAT knows no time zones.
func fatTime(date, clock uint16) int64 {
	return time.Date(1980+int(date>>9), time.Month(date>>5&15), int(date&31), int(clock>>11),
		int(clock>>5&63), int(clock&31)*2, 0, time.UTC).Unix()
}
