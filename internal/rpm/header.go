// Package rpm reads the headers of RPM files, as far as needed to describe how two of them differ.
// Package build uses it to check outputs and to explain why a step is not reproducible.
package rpm

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
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

	maxIndexes = 65535 // the limit of rpm itself (rpm/lib/header.c)
	// maxStore bounds the bytes of a header. rpm allows 256 MiB; packages of a hundred thousand
	// files have 20.
	maxStore = 64 << 20
	// maxValues bounds the memory of all values of a header. Each tag may name any part of the
	// store, the same one too.
	maxValues = 256 << 20
	valueSize = 16      // of a string without its bytes
	maxPath   = 4 << 10 // bytes of a file's name or directory, as in Linux
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

// types are the types of the tags that are believed. rpm takes others too, and then another value
// than the first: of a name in several languages that of the user's.
var types = map[int][]int{
	tagRPMName: {typeString}, tagVersion: {typeString}, tagRelease: {typeString},
	tagArch: {typeString}, tagSource: {typeString}, tagLicense: {typeString}, tagURL: {typeString},
	tagSummary: {typeString, typeTranslated}, tagGroup: {typeString, typeTranslated},
	tagBaseNames: {typeStrings}, tagDirNames: {typeStrings}, tagDirIndexes: {typeInt32},
	tagSizes: {typeInt32}, tagLongSizes: {typeInt64}, tagModes: {typeInt16},
	tagFlags: {typeInt32}, tagDigests: {typeStrings}, tagDigestAlgo: {typeInt32},
	tagLinks: {typeStrings},
}

// checkType refuses tags in another form than rpmbuild writes.
func checkType(tag, kind, count int) error {
	switch want, known := types[tag]; {
	case tag == tagOldNames:
		return errors.New("the names of files are in the form of RPM 3")
	case known && !slices.Contains(want, kind):
		return fmt.Errorf("it has the type %d, and rpmbuild writes it with %d", kind, want[0])
	case kind == typeString && count != 1:
		return fmt.Errorf("a text with %d values", count)
	}
	return nil
}

// Header holds the values of each tag as text: numbers in decimal, binary data in hex.
type Header map[int][]string

// ReadHeader returns the main header of the RPM file at path, without the signature header before
// it and the payload after it, with the tags that Read would return.
func ReadHeader(path string, tags ...int) (Header, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h, err := Read(f, tags...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return h, nil
}

// Read returns the main header of the RPM at the beginning of in: the given tags, all of them if
// none is given.
func Read(in io.Reader, tags ...int) (Header, error) {
	r := bufio.NewReader(in)
	lead := make([]byte, leadSize)
	if _, err := io.ReadFull(r, lead); err != nil || string(lead[:len(leadMagic)]) != leadMagic {
		return nil, errors.New("it is not an RPM")
	}
	count, size, err := readIntro(r)
	if err != nil {
		return nil, fmt.Errorf("signature header: %w", err)
	}
	padding := -size & 7 // the main header begins at a multiple of 8
	if _, err := io.CopyN(io.Discard, r, count*indexSize+size+padding); err != nil {
		return nil, errCutOff
	}
	return parseSection(r, tags)
}

var errCutOff = errors.New("it is cut off")

// readIntro reads the start of a header structure: how many tags and bytes of data follow.
func readIntro(r io.Reader) (count, size int64, err error) {
	intro := make([]byte, len(headerMagic)+8)
	if _, err := io.ReadFull(r, intro); err != nil {
		return 0, 0, errCutOff
	}
	if string(intro[:len(headerMagic)]) != headerMagic {
		return 0, 0, errors.New("a header does not begin with its magic number")
	}
	count = int64(binary.BigEndian.Uint32(intro[8:]))
	size = int64(binary.BigEndian.Uint32(intro[12:]))
	if count > maxIndexes || size > maxStore {
		return 0, 0, fmt.Errorf("a header of %d tags and %d bytes is larger than the limits of %d and %d",
			count, size, maxIndexes, maxStore)
	}
	return count, size, nil
}

// parseSection reads one header structure and decodes the given tags; all if there are none.
func parseSection(r io.Reader, tags []int) (Header, error) {
	count, size, err := readIntro(r)
	if err != nil {
		return nil, err
	}
	// Allocate only as data arrives: a damaged length may promise too much.
	data, err := io.ReadAll(io.LimitReader(r, count*indexSize+size))
	if err != nil || int64(len(data)) < count*indexSize+size {
		return nil, errCutOff
	}
	indexes := data[:count*indexSize]
	d := decoder{store: data[count*indexSize:], left: maxValues}
	h := Header{}
	for ; len(indexes) > 0; indexes = indexes[indexSize:] {
		field := func(n int) int { return int(int32(binary.BigEndian.Uint32(indexes[4*n:]))) }
		tag := field(0)
		if len(tags) > 0 && tag != tagOldNames && !slices.Contains(tags, tag) {
			continue
		}
		if err := checkType(tag, field(1), field(3)); err != nil {
			return nil, fmt.Errorf("tag %d: %w", tag, err)
		}
		if _, twice := h[tag]; twice { // rpm takes one of them, by a search in halves
			return nil, fmt.Errorf("tag %d is there twice", tag)
		}
		values, err := d.decode(field(1), field(2), field(3))
		if err == nil && (tag == tagBaseNames || tag == tagDirNames) {
			err = checkPaths(tag, values)
		}
		if err != nil {
			return nil, fmt.Errorf("tag %d: %w", tag, err)
		}
		h[tag] = values
	}
	return h, nil
}

func checkPaths(tag int, names []string) error {
	for _, name := range names {
		if tag == tagBaseNames && strings.Contains(name, "/") {
			return fmt.Errorf("the name %.100q of a file has a slash", name)
		}
		if len(name) > maxPath {
			return fmt.Errorf("a name of %d bytes is longer than %d", len(name), maxPath)
		}
	}
	return nil
}

// decoder decodes the values of one header.
type decoder struct {
	store []byte
	left  int // bytes of memory that further values may take
}

// take accounts for count values with together size bytes.
func (d *decoder) take(count, size int) error {
	if d.left -= count*valueSize + size; d.left < 0 {
		return fmt.Errorf("the values of its tags take more than %d MiB: they lie on one another, or "+
			"there are too many", maxValues>>20)
	}
	return nil
}

// decode returns count values of a type that begin at an offset of the store.
func (d *decoder) decode(kind, offset, count int) ([]string, error) {
	if offset < 0 || offset > len(d.store) || count < 0 || count > len(d.store)-offset {
		return nil, errOutside
	}
	store := d.store[offset:]
	switch kind {
	case typeString, typeStrings, typeTranslated:
		return d.strings(store, count)
	case typeBinary:
		if err := d.take(1, 2*count); err != nil {
			return nil, err
		}
		return []string{hex.EncodeToString(store[:count])}, nil
	}
	width := map[int]int{typeChar: 1, typeInt8: 1, typeInt16: 2, typeInt32: 4, typeInt64: 8}[kind]
	if width*count > len(store) {
		return nil, errOutside
	}
	const digits = 20 // of the largest number
	if err := d.take(count, count*digits); width == 0 || err != nil {
		return nil, err
	}
	values := make([]string, count)
	for n := range values {
		var v uint64
		for _, b := range store[n*width : (n+1)*width] {
			v = v<<8 | uint64(b)
		}
		values[n] = strconv.FormatUint(v, 10)
	}
	return values, nil
}

var errOutside = errors.New("its data is outside the header")

func (d *decoder) strings(store []byte, count int) ([]string, error) {
	if err := d.take(count, 0); err != nil {
		return nil, err
	}
	values := make([]string, count)
	for n := range values {
		end := bytes.IndexByte(store, 0)
		if end < 0 {
			return nil, errors.New("a string is not terminated")
		}
		if err := d.take(0, end); err != nil {
			return nil, err
		}
		values[n], store = string(store[:end]), store[end+1:]
	}
	return values, nil
}
