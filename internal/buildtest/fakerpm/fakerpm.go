// Package fakerpm makes the beginnings of RPMs, which are all that buildsys reads of most.
package fakerpm

import (
	"bytes"
	"encoding/binary"
	"slices"
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
//
// more follow in pairs, the number of a tag and its value, a string, []string or
// []uint32.
func Header(file, spec string, more ...any) []byte {
	rest, arch := cut(strings.TrimSuffix(file, ".rpm"), '.')
	rest, release := cut(rest, '-')
	name, version := cut(rest, '-')
	values := []any{tagName, name, tagVersion, version, tagRelease, release, tagArch, arch}
	if spec != "" {
		values = append(values, tagSourceRPM, spec+"-"+version+"-"+release+".src.rpm")
	}
	values = append(values, more...)
	var indexes, store []byte
	for pair := range slices.Chunk(values, 2) {
		kind, texts := 8, []string(nil) // an array of strings
		count, at := 0, len(store)
		switch value := pair[1].(type) {
		case string:
			kind, texts = 6, []string{value}
		case []string:
			texts = value
		case []uint32:
			kind, count = 4, len(value)
			for _, n := range value {
				store = binary.BigEndian.AppendUint32(store, n)
			}
		}
		for _, n := range []int{pair[0].(int), kind, at, count + len(texts)} {
			indexes = binary.BigEndian.AppendUint32(indexes, uint32(n))
		}
		for _, text := range texts {
			store = append(append(store, text...), 0)
		}
	}
	lead := append([]byte(Magic), make([]byte, 96-len(Magic))...)
	return bytes.Join([][]byte{lead, section(0, nil, nil),
		section(len(values)/2, indexes, store)}, nil)
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
