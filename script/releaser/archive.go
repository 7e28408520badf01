// Archives: tar files and what is packed with gzip, the same bytes for the same contents.

package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// archives makes an archive of each binary with its documents.
func (r *release) archives(context.Context) error {
	documents := []entry{file("THIRD_PARTY_LICENSES", r.legal.text)}
	for _, name := range []string{"LICENSE", "README.md", "CHANGELOG.md"} {
		data, err := r.read(name)
		if err != nil {
			return err
		}
		documents = append(documents, file(name, data))
	}
	documents = append(documents, below("man/man1", r.texts.manuals)...)
	for shell, name := range map[string]string{"bash": "buildsys.bash", "zsh": "_buildsys",
		"fish": "buildsys.fish"} {
		documents = append(documents, file("completions/"+name, r.texts.completions[shell]))
	}
	return each(r.built, func(b binary) error {
		program, err := os.ReadFile(b.path)
		if err != nil {
			return err
		}
		all := append([]entry{{"buildsys", 0o755, program}}, documents...)
		data, err := tarOf(r.date, below(r.name("-"+b.String()), all))
		if err == nil {
			data, err = zip(data, gzip.DefaultCompression)
		}
		if err != nil {
			return err
		}
		return os.WriteFile(b.path+".tar.gz", data, 0o644)
	})
}

// each does the same for several things at once, and returns an error if one had one.
func each[T any](of []T, do func(T) error) error {
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, one := range of {
		g.Go(func() error { return do(one) })
	}
	return g.Wait()
}

// tarOf returns a tar file, sorted, with one date and with everything owned by root.
func tarOf(date time.Time, entries []entry) ([]byte, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range sorted(entries) {
		header := tar.Header{Typeflag: tar.TypeReg, Name: e.path, Mode: int64(e.mode.Perm()),
			Size: int64(len(e.data)), ModTime: date, Format: tar.FormatPAX}
		if e.mode.IsDir() {
			header.Typeflag, header.Name = tar.TypeDir, e.path+"/"
		}
		if e.mode&os.ModeSticky != 0 {
			header.Mode |= 0o1000
		}
		if err := w.WriteHeader(&header); err != nil {
			return nil, err
		}
		if _, err := w.Write(e.data); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return buf.Bytes(), err
}

// zip packs data with gzip, without a name and a time.
func zip(data []byte, level int) ([]byte, error) {
	var buf bytes.Buffer
	w, err := gzip.NewWriterLevel(&buf, level)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(w, bytes.NewReader(data)); err != nil {
		return nil, err
	}
	err = w.Close()
	return buf.Bytes(), err
}

func sorted(entries []entry) []entry {
	return slices.SortedFunc(slices.Values(entries), func(a, b entry) int {
		return strings.Compare(a.path, b.path)
	})
}
