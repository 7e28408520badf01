// mirrors: where Debian's archives are.

package sdk

import (
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"buildsys/internal/confined"
)

// SnapshotService is where everything is that was ever in Debian's archives, by the time.
const SnapshotService = "https://snapshot.debian.org/archive"

// Mirrors has the URLs of Debian's archives, in the order in which they are asked, by the archive.
type Mirrors map[string][]string

// MirrorsAt returns the mirrors that have all archives side by side.
func MirrorsAt(bases []string) Mirrors {
	m := Mirrors{}
	for _, base := range bases {
		for _, archive := range archives {
			m[archive] = append(m[archive], strings.TrimSuffix(base, "/")+"/"+archive)
		}
	}
	return m
}

// MirrorsOfApt returns the mirrors that apt uses by the configuration in a directory; none where
// there is no apt. An archive is known by the end of its URL.
func MirrorsOfApt(config string) Mirrors {
	m, files := Mirrors{}, []string{filepath.Join(config, "sources.list")}
	more, _ := confined.List(filepath.Join(config, "sources.list.d"))
	for _, entry := range more {
		files = append(files, filepath.Join(config, "sources.list.d", entry.Name()))
	}
	for _, name := range files {
		data, err := confined.Path{Name: name}.Read(maxSources)
		if err != nil {
			continue // apt says what is wrong with it
		}
		switch filepath.Ext(name) {
		case ".list":
			m.addList(string(data))
		case ".sources":
			m.addSources(string(data))
		}
	}
	return m
}

// maxSources bounds a file of apt's configuration.
const maxSources = 1 << 20

// addList adds the mirrors in lines such as "deb [signed-by=FILE] URL SUITE COMPONENT".
func (m Mirrors) addList(text string) {
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] != "deb" {
			continue
		}
		if i := slices.IndexFunc(words, isHTTP); i > 0 {
			m.add(words[i])
		}
	}
}

// addSources adds the mirrors in paragraphs with fields such as "URIs: URL URL".
func (m Mirrors) addSources(text string) {
	for paragraph := range strings.SplitSeq(text, "\n\n") {
		fields, last := map[string]string{}, ""
		for line := range strings.Lines(paragraph) {
			name, value, ok := strings.Cut(line, ":")
			switch {
			case line[0] == '#':
			case line[0] == ' ' || line[0] == '\t':
				fields[last] += " " + line
			case ok:
				last = strings.ToLower(name)
				fields[last] = value
			}
		}
		if strings.TrimSpace(fields["enabled"]) == "no" ||
			!slices.Contains(strings.Fields(fields["types"]), "deb") {
			continue
		}
		for _, url := range strings.Fields(fields["uris"]) {
			m.add(url)
		}
	}
}

func isHTTP(word string) bool {
	return strings.HasPrefix(word, "http://") || strings.HasPrefix(word, "https://")
}

func (m Mirrors) add(url string) {
	url = strings.TrimRight(url, "/")
	archive := path.Base(url)
	if isHTTP(url) && slices.Contains(archives, archive) && !slices.Contains(m[archive], url) {
		m[archive] = append(m[archive], url)
	}
}

// snapshots returns the URLs of an archive as it was at a time. The service has what it saw some
// hours after it came, so the next day is a second chance.
func snapshots(service, archive string, at time.Time) (urls []string) {
	if service == "" {
		return nil
	}
	for _, t := range []time.Time{at, at.Add(24 * time.Hour)} {
		urls = append(urls, strings.TrimSuffix(service, "/")+"/"+archive+"/"+t.UTC().Format(lockTime))
	}
	return urls
}

// URLs returns where a package may be: mirrors, then the snapshot service at the time of its lock.
func (l *Lock) URLs(p *Locked, m Mirrors, service string) (urls []string) {
	for _, base := range slices.Concat(m[p.Archive], snapshots(service, p.Archive, l.Snapshot)) {
		urls = append(urls, base+"/"+p.File)
	}
	return urls
}

// SnapshotNow returns the URL of an archive as a snapshot service last saw it, if there is one.
func SnapshotNow(service, archive string, now time.Time) []string {
	if service == "" {
		return nil
	}
	return []string{strings.TrimSuffix(service, "/") + "/" + archive + "/" +
		now.UTC().Format(lockTime)}
}
