// Identifiers of an image, derived from its identity: they look random, but are the same in every
// build of the same version.

package image

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"buildsys/internal/manifest"
)

// Identity is what the identifiers of an image are derived from.
type Identity struct {
	Name    string // OS name
	Variant string
	Arch    string
	Version string
}

// namespace returns the UUID from which all others are derived: uuid5(DNS namespace of RFC 9562,
// "buildsys.invalid").
func namespace() [16]byte {
	dns := [16]byte{0x6b, 0xa7, 0xb8, 0x10, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4,
		0x30, 0xc8}
	return uuid5(dns, "buildsys.invalid")
}

// UUID returns the identifier of one role within an image: "disk-os", "partition-ROOT-A",
// "fs-ROOT-A"...
func (id Identity) UUID(role string) string {
	return formatUUID(uuid5(namespace(), id.seed(role)))
}

// Salt returns the dm-verity salt: 32 bytes as 64 hex digits.
func (id Identity) Salt() string {
	sum := sha256.Sum256([]byte(id.seed("verity-salt")))
	return hex.EncodeToString(sum[:])
}

func (id Identity) seed(role string) string {
	return strings.Join([]string{id.Name, id.Variant, id.Arch, id.Version, role}, "|")
}

// AssignIDs sets every identifier of the layout that its partition types do not prescribe.
func (l *Layout) AssignIDs(id Identity) {
	for i := range l.Disks {
		l.Disks[i].GUID = id.UUID("disk-" + l.Disks[i].Name)
	}
	_, split := l.Disk(DataDisk)
	for i := range l.Partitions {
		p := &l.Partitions[i]
		if p.GUID == "" {
			p.GUID = id.UUID("partition-" + p.Key)
		}
		if holdsFileSystem(*p, split) {
			p.FSUUID = id.UUID("fs-" + p.Key)
		}
	}
	l.Salt = id.Salt()
	l.VerityUUID = id.UUID("verity-A")
}

func holdsFileSystem(p Partition, split bool) bool {
	switch p.Type {
	case typeEFI, typeEFIB, typeBoot, typeRoot, typePrivate:
		return true
	case typeData:
		return p.Disk == DataDisk || !split // on the OS disk of a split layout it is a placeholder
	}
	return false
}

// ForVariant returns the partition layout of a variant's image with all its identifiers.
func ForVariant(m manifest.ImageLayout, form Form, id Identity) (Layout, error) {
	l, err := New(Spec{Name: id.Name, OSGiB: m.OSImageSizeGiB, DataGiB: m.DataImageSizeGiB,
		Plan: m.PartitionPlan, Form: form})
	if err != nil {
		return Layout{}, fmt.Errorf("image layout of variant %s: %w", id.Variant, err)
	}
	l.AssignIDs(id)
	return l, nil
}

// uuid5 returns the name-based UUID of RFC 9562 §5.5.
func uuid5(space [16]byte, name string) [16]byte {
	h := sha1.New() // prescribed by the RFC; nothing relies on its strength
	h.Write(space[:])
	h.Write([]byte(name))
	var u [16]byte
	copy(u[:], h.Sum(nil))
	u[6] = u[6]&0x0f | 0x50
	u[8] = u[8]&0x3f | 0x80
	return u
}

func formatUUID(u [16]byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
}
