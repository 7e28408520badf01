// Package fakerpm makes the beginnings of RPMs, which are all that buildsys reads of most.
package fakerpm

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// Magic begins every RPM file.
const Magic = "\xed\xab\xee\xdb"

// The tags of a header (rpm/include/rpm/rpmtag.h).
const (
	tagName      = 1000
	tagVersion   = 1001
	tagRelease   = 1002
	tagArch      = 1022
	tagSourceRPM = 1044
)

// Header returns an RPM up to its payload: its lead, an empty signature, and a header that says
// what the file name does, NAME-VERSION-RELEASE.ARCH.rpm, and that it was built from the spec of
// the given name. For "" it does not say that (rpm format documentation).
func Header(file, spec string) []byte {
	rest, arch := cut(strings.TrimSuffix(file, ".rpm"), '.')
	rest, release := cut(rest, '-')
	name, version := cut(rest, '-')
	values := []string{name, version, release, arch}
	if spec != "" {
		values = append(values, spec+"-"+version+"-"+release+".src.rpm")
	}
	var indexes, store []byte
	tags := []uint32{tagName, tagVersion, tagRelease, tagArch, tagSourceRPM}
	for i, tag := range tags[:len(values)] {
		for _, n := range []uint32{tag, 6, uint32(len(store)), 1} { // 6: a string
			indexes = binary.BigEndian.AppendUint32(indexes, n)
		}
		store = append(append(store, values[i]...), 0)
	}
	lead := append([]byte(Magic), make([]byte, 96-len(Magic))...)
	return bytes.Join([][]byte{lead, section(0, nil, nil), section(len(values), indexes, store)}, nil)
}

// cut cuts s at the last sep.
func cut(s string, sep byte) (before, after string) {
	i := strings.LastIndexByte(s, sep)
	return s[:max(i, 0)], s[i+1:]
}

func section(count int, indexes, store []byte) []byte {
	intro := []byte("\x8e\xad\xe8\x01\x00\x00\x00\x00")
	intro = binary.BigEndian.AppendUint32(intro, uint32(count))
	intro = binary.BigEndian.AppendUint32(intro, uint32(len(store)))
	return bytes.Join([][]byte{intro, indexes, store}, nil)
}
