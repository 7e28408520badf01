// Package rpm reads the headers of RPM files, as far as needed to describe how two of them differ.
// Package build uses it to check outputs and to explain why a step is not reproducible.
package rpm

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// The format of an RPM file and the types of its tags:
// https://rpm-software-management.github.io/rpm/manual/format_v4.html.
const (
	leadSize    = 96
	leadMagic   = "\xed\xab\xee\xdb"
	headerMagic = "\x8e\xad\xe8\x01\x00\x00\x00\x00"
	indexSize   = 16

	// Limits of rpm itself (rpm/lib/header.c).
	maxIndexes = 65535
	maxStore   = 256 << 20 // bytes
)

const (
	typeChar = iota + 1
	typeInt8
	typeInt16
	typeInt32
	typeInt64
	typeString
	typeBinary
	typeStrings
	typeTranslated
)

// Header holds the values of each tag as text: numbers in decimal, binary data in hex.
type Header map[int][]string

// ReadHeader returns the main header of the RPM file at path, without the signature header before
// it and the payload after it.
func ReadHeader(path string) (Header, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h, err := Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return h, nil
}

// Read returns the main header of the RPM at the beginning of in.
func Read(in io.Reader) (Header, error) {
	r := bufio.NewReader(in)
	lead := make([]byte, leadSize)
	if _, err := io.ReadFull(r, lead); err != nil || string(lead[:len(leadMagic)]) != leadMagic {
		return nil, errors.New("it is not an RPM")
	}
	_, size, err := parseSection(r)
	if err != nil {
		return nil, fmt.Errorf("signature header: %w", err)
	}
	if padding := -size & 7; padding > 0 { // the main header begins at a multiple of 8
		if _, err := io.CopyN(io.Discard, r, int64(padding)); err != nil {
			return nil, errors.New("it is cut off")
		}
	}
	h, _, err := parseSection(r)
	return h, err
}

// parseSection reads one header structure and returns it with the size of its store in bytes.
func parseSection(r io.Reader) (Header, int, error) {
	intro := make([]byte, len(headerMagic)+8)
	if _, err := io.ReadFull(r, intro); err != nil {
		return nil, 0, errors.New("it is cut off")
	}
	if string(intro[:len(headerMagic)]) != headerMagic {
		return nil, 0, errors.New("a header does not begin with its magic number")
	}
	count, size := binary.BigEndian.Uint32(intro[8:]), binary.BigEndian.Uint32(intro[12:])
	if count > maxIndexes || size > maxStore {
		return nil, 0, fmt.Errorf("a header of %d tags and %d bytes is too large", count, size)
	}
	// Allocate only as data arrives: a damaged length may promise too much.
	data, err := io.ReadAll(io.LimitReader(r, int64(count)*indexSize+int64(size)))
	if err != nil || len(data) < int(count)*indexSize+int(size) {
		return nil, 0, errors.New("it is cut off")
	}
	indexes, store := data[:count*indexSize], data[count*indexSize:]
	h := Header{}
	for ; len(indexes) > 0; indexes = indexes[indexSize:] {
		field := func(n int) int { return int(int32(binary.BigEndian.Uint32(indexes[4*n:]))) }
		values, err := decode(store, field(1), field(2), field(3))
		if err != nil {
			return nil, 0, fmt.Errorf("tag %d: %w", field(0), err)
		}
		h[field(0)] = values
	}
	return h, int(size), nil
}

// decode returns count values of a type that begin at an offset of the store.
func decode(store []byte, kind, offset, count int) ([]string, error) {
	if offset < 0 || offset > len(store) || count < 0 || count > len(store) {
		return nil, errors.New("its data is outside the header")
	}
	store = store[offset:]
	switch kind {
	case typeString, typeStrings, typeTranslated:
		return decodeStrings(store, count)
	case typeBinary:
		if count > len(store) {
			return nil, errors.New("its data is outside the header")
		}
		return []string{hex.EncodeToString(store[:count])}, nil
	}
	width := map[int]int{typeChar: 1, typeInt8: 1, typeInt16: 2, typeInt32: 4, typeInt64: 8}[kind]
	if width*count > len(store) {
		return nil, errors.New("its data is outside the header")
	}
	var values []string
	for n := 0; width > 0 && n < count; n++ {
		var v uint64
		for _, b := range store[n*width : (n+1)*width] {
			v = v<<8 | uint64(b)
		}
		values = append(values, strconv.FormatUint(v, 10))
	}
	return values, nil
}

func decodeStrings(store []byte, count int) ([]string, error) {
	rest := string(store)
	var values []string
	for range count {
		one, after, ok := strings.Cut(rest, "\x00")
		if !ok {
			return nil, errors.New("a string is not terminated")
		}
		values, rest = append(values, one), after
	}
	return values, nil
}
