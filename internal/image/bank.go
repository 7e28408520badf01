// Reads one bank of an OS disk back: the root file system under its hash tree, and what BOOT tells
// the kernel about it.

package image

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"buildsys/internal/errkind"
)

// BadImageError reports that an image is wrong, as opposed to one that could not be read.
type BadImageError struct {
	Image  string // file; may be empty
	Faults []error
}

// Error lists every fault with the partition it is in.
func (e *BadImageError) Error() string {
	texts := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		texts[i] = f.Error()
	}
	text := strings.Join(texts, "; ")
	if e.Image == "" {
		return text
	}
	return fmt.Sprintf("image %s is not as it should be: %s", e.Image, text)
}

// ErrorKind returns errkind.Integrity.
func (*BadImageError) ErrorKind() errkind.Kind { return errkind.Integrity }

// Unwrap returns the faults.
func (e *BadImageError) Unwrap() []error { return e.Faults }

// Root is a root file system under dm-verity as it was found.
type Root struct {
	Partition   string `json:"partition"`
	RootHash    string `json:"root_hash"` // of the top of the tree, even if the data does not match
	Salt        string `json:"salt"`
	UUID        string `json:"uuid"`
	DataBytes   int64  `json:"data_bytes"` // covered by the tree
	TreeBytes   int64  `json:"tree_bytes"`
	Verified    bool   `json:"verified"` // every block matches the tree
	CommandLine bool   `json:"on_kernel_command_line"`
}

// Boot is what a BOOT partition boots.
type Boot struct {
	Partition string      `json:"partition"`
	File      string      `json:"file"`
	Entries   []BootEntry `json:"entries"`
	// KernelSignedBy lists who signed the kernel of the first entry for UEFI firmware; empty if
	// nobody did.
	KernelSignedBy []string `json:"kernel_signed_by"`
}

// section is a partition with its name in faults.
type section struct {
	name string
	*io.SectionReader
}

func (s section) fault(format string, args ...any) error {
	return fmt.Errorf("partition %s: %w", s.name, fmt.Errorf(format, args...))
}

const (
	grubConfig    = "grub/grub.cfg"
	maxConfigSize = 1 << 20
)

// readRoot reads the superblock of a hash tree and verifies the data under it. The only errors are
// ctx's.
func readRoot(ctx context.Context, root, hash section) (r Root, v Verity, faults []error,
	err error) {
	r.Partition = root.name
	if v, err = ReadVerity(hash); err != nil {
		return r, v, []error{hash.fault("%w", err)}, nil
	}
	r.Salt, r.UUID = hex.EncodeToString(v.Salt), v.UUID
	r.DataBytes, r.TreeBytes = v.DataSize(), v.HashSize()
	if r.DataBytes > root.Size() {
		faults = append(faults, root.fault("%w", tooLarge("the data under the hash tree", r.DataBytes,
			root.Size())))
	}
	if r.TreeBytes > hash.Size() {
		faults = append(faults, hash.fault("%w", tooLarge("the hash tree", r.TreeBytes, hash.Size())))
	}
	if fs, err := ReadFileSystem(root); err == nil && fs.Size > r.DataBytes {
		faults = append(faults, root.fault("its %s file system has %d bytes, but only %d are under the "+
			"hash tree", fs.Kind, fs.Size, r.DataBytes))
	}
	if len(faults) > 0 {
		return r, v, faults, nil
	}
	r.RootHash, _ = v.rootHash(root, hash)
	if _, err := v.Verify(ctx, root, hash); err != nil {
		if ctx.Err() != nil {
			return r, v, nil, context.Cause(ctx)
		}
		return r, v, []error{root.fault("does not verify: %w", err)}, nil
	}
	r.Verified = true
	return r, v, nil, nil
}

// readBoot reads grub.cfg and checks that the kernels it names exist.
func readBoot(boot section) (Boot, []error) {
	b := Boot{Partition: boot.name, File: grubConfig, Entries: []BootEntry{},
		KernelSignedBy: []string{}}
	fs, err := OpenExt4(boot, boot.Size())
	if err != nil {
		return b, []error{boot.fault("%w", err)}
	}
	config, err := fs.ReadFile(grubConfig, maxConfigSize)
	if err != nil {
		return b, []error{boot.fault("%w", err)}
	}
	var faults []error
	entries, err := ParseGrub(string(config))
	if err != nil {
		faults = append(faults, boot.fault("%s: %w", grubConfig, err))
	}
	b.Entries = append(b.Entries, entries...)
	if len(b.Entries) == 0 {
		return b, append(faults, boot.fault("%s starts no kernel", grubConfig))
	}
	if kernel, err := fs.ReadFile(kernelOf(b), maxProgram); err == nil {
		var fault error
		if b.KernelSignedBy, fault = signers(kernel); fault != nil {
			faults = append(faults, boot.fault("the kernel: %w", fault))
		}
	}
	for _, e := range b.Entries {
		// A kernel on another device cannot be looked up.
		if name, ok := strings.CutPrefix(e.Kernel, "($root)"); ok || strings.HasPrefix(e.Kernel, "/") {
			if size, err := fs.FileSize(name); err != nil {
				faults = append(faults, boot.fault("the kernel of %s: %w", grubConfig, err))
			} else if size == 0 {
				faults = append(faults, boot.fault("the kernel of %s: %s is empty", grubConfig, name))
			}
		}
	}
	return b, faults
}

// checkCommandLines compares the verity tables on the kernel command lines with the tree, and
// records the result in r.
func checkCommandLines(boot section, b Boot, v Verity, r *Root) error {
	if len(b.Entries) == 0 || r.RootHash == "" { // already reported
		return nil
	}
	for _, e := range b.Entries {
		table, ok := e.Verity()
		switch {
		case !ok:
			return boot.fault("a kernel command line in %s has no verity table (dm-mod.create=): the root "+
				"would not be verified", b.File)
		case table.RootHash != r.RootHash:
			return boot.fault("the kernel command line in %s names the root hash %s, but that of %s is "+
				"%s: the image would not boot",
				b.File, table.RootHash, r.Partition, r.RootHash)
		case table.Salt != r.Salt || table.DataBlocks != v.DataBlocks:
			return boot.fault("the kernel command line in %s has %d blocks and the salt %s, the hash tree "+
				"has %d and %s: the image would not boot",
				b.File, table.DataBlocks, table.Salt, v.DataBlocks, r.Salt)
		}
	}
	r.CommandLine = true
	return nil
}

// rootHash returns the hash of the tree's top block, or of the only data block if there is no tree.
func (v Verity) rootHash(data, hash io.ReaderAt) (string, error) {
	top, off := make([]byte, verityBlock), int64(verityBlock)
	if len(v.levels()) == 0 {
		hash, off = data, 0
	}
	if n, err := hash.ReadAt(top, off); n < len(top) {
		return "", errors.Join(errors.New("read the top of the hash tree"), err)
	}
	sum := v.digest(top)
	return hex.EncodeToString(sum[:]), nil
}
