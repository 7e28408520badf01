// packages: one digest for all packages whose outputs a step sees, and what it stands for.

package cache

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"iter"
	"slices"
	"strings"
)

// A step may see thousands of packages, nearly the same ones as its neighbours. So its transcript
// has one line for them, "packages DIGEST". The digest is that of a tree of two levels, made as
// follows; strings are in double quotes, \n is a newline, and nothing separates the parts.
//
//   - The bucket of a package is the first byte of the sha256 of its name.
//   - The digest of a bucket is the sha256 of "buildsys bucket 1\n" and, for each of the packages
//     in it that the step sees, sorted by name: the name, as a word of a transcript; " "; the
//     content ID of its outputs in hex; "\n".
//   - The digest of all is the sha256 of "buildsys packages 1\n" and, for each bucket that the step
//     sees a package of, ascending: a byte, the bucket; 32 bytes, its digest.
//
// Only names and content IDs matter, in an order that follows from the names: neither the positions
// of steps in a plan, nor its size, nor the edges by which a step sees a package have any effect. A
// word holds neither space nor newline outside quotes and a content ID has a fixed length, so a
// bucket's text can be read in only one way; and the first lines distinguish the text of a bucket,
// that of a tree and a transcript. So digests are equal only for equal sets, as far as sha256 goes.
// The buckets make it cheap: steps that see the same packages of a bucket share its digest.

// PackageBuckets is the number of buckets.
const PackageBuckets = 256

const (
	bucketHeader   = "buildsys bucket 1\n"
	packagesHeader = "buildsys packages 1\n"

	// packagesLabel begins the line of a transcript with the digest. Instead of it, packageLabel
	// begins the lines shown to people, one for each package.
	packagesLabel = "packages"
	packageLabel  = "rpms"
)

// PackagesDigest is the digest of a bucket or of all packages. The zero value is that of a bucket
// without packages.
type PackagesDigest [32]byte

// String returns the digest in hex.
func (d PackagesDigest) String() string { return hex.EncodeToString(d[:]) }

// PackageBucket returns the bucket of a package.
func PackageBucket(name string) int {
	sum := sha256.Sum256([]byte(name))
	return int(sum[0])
}

// Package is a package that steps see. Its name and content ID are in digests; the names of its
// files and the beginnings of their hashes are for people.
type Package struct {
	name    string
	content ContentID
	words   Words
	short   int // length of words.text up to and including the content ID
}

// NewPackage describes a package.
func NewPackage(name string, content ContentID, files []File) Package {
	words := []string{name, content.String()}
	short := len(NewWords(words...).text)
	for _, f := range files {
		words = append(words, f.Name, hex.EncodeToString(f.SHA256[:6]))
	}
	return Package{name, content, NewWords(words...), short}
}

// Words returns the whole description, for a line of a transcript.
func (p Package) Words() Words { return p.words }

// DigestBucket returns the digest of the packages of a bucket that a step sees, sorted by name. It
// uses scratch as memory and returns it, perhaps grown.
func DigestBucket(scratch []byte, seen iter.Seq[Package]) (PackagesDigest, []byte) {
	text := append(scratch[:0], bucketHeader...)
	for p := range seen {
		text = append(text, p.words.text[1:p.short]...)
		text = append(text, '\n')
	}
	if len(text) == len(bucketHeader) {
		return PackagesDigest{}, text
	}
	return sha256.Sum256(text), text
}

// BucketNode returns the text that is stored to explain the digest of a bucket.
func BucketNode(seen iter.Seq[Package]) []byte {
	text := []byte(bucketHeader)
	for p := range seen {
		text = append(text, p.words.text[1:]...)
		text = append(text, '\n')
	}
	return text
}

// PackagesNode returns the text whose sha256 is the digest of all packages. It is stored as it is.
func PackagesNode(buckets *[PackageBuckets]PackagesDigest) []byte {
	text := make([]byte, 0, len(packagesHeader)+PackageBuckets*(1+len(PackagesDigest{})))
	text = append(text, packagesHeader...)
	for b, d := range buckets {
		if d != (PackagesDigest{}) {
			text = append(text, byte(b))
			text = append(text, d[:]...)
		}
	}
	return text
}

// AddPackages adds the line of a step that sees the packages of the given node.
func (t *Transcript) AddPackages(node []byte) {
	t.Add(packagesLabel, PackagesDigest(sha256.Sum256(node)).String())
}

// NodeSource returns the node of a digest, or nil. Its result is checked against the digest.
type NodeSource func(PackagesDigest) []byte

// Explain is Diff with digests of packages resolved to the packages that differ. If nodes are
// missing, it only reports that there are differences.
func Explain(old, new string, node NodeSource) []Change {
	before, after := packagesOf(old), packagesOf(new)
	if before.digest == after.digest {
		return Diff(old, new)
	}
	oldLines, newLines, all := differing(before.digest, after.digest, node)
	return Diff(before.replaced(old, oldLines, all), after.replaced(new, newLines, all))
}

// packagesLine is the position of the digest in a transcript. It is empty if the step sees no
// packages.
type packagesLine struct {
	digest   PackagesDigest
	from, to int
}

// packagesOf finds the digest in a transcript.
func packagesOf(text string) (l packagesLine) {
	for line := range strings.Lines(text) {
		l.to = l.from + len(line)
		rest, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), packagesLabel+" ")
		if sum, err := hex.DecodeString(rest); ok && err == nil && len(sum) == len(l.digest) {
			l.digest = PackagesDigest(sum)
			return l
		}
		l.from = l.to
	}
	return l
}

// replaced inserts lines at the digest's line: in its place if instead is set, otherwise before it.
func (l packagesLine) replaced(text string, lines []string, instead bool) string {
	rest := text[l.to:]
	if !instead {
		rest = text[l.from:]
	}
	return text[:l.from] + strings.Join(lines, "") + rest
}

// differing returns the lines of the packages in the buckets that differ between two digests. It
// leaves out buckets that cannot be read on both sides; all is false if there are any.
func differing(before, after PackagesDigest, node NodeSource) (old, new []string, all bool) {
	was, ok := node.buckets(before)
	is, okay := node.buckets(after)
	if !ok || !okay {
		return nil, nil, false
	}
	all = true
	for b := range was {
		if was[b] == is[b] {
			continue
		}
		gone, ok := node.lines(was[b])
		came, okay := node.lines(is[b])
		if !ok || !okay {
			all = false
			continue
		}
		old, new = append(old, gone...), append(new, came...)
	}
	slices.Sort(old)
	slices.Sort(new)
	return old, new, all
}

// buckets reads the node of all packages. A step that sees no packages has no node.
func (node NodeSource) buckets(d PackagesDigest) (all [PackageBuckets]PackagesDigest, ok bool) {
	if d == (PackagesDigest{}) {
		return all, true
	}
	text := node(d)
	rest, ok := bytes.CutPrefix(text, []byte(packagesHeader))
	const size = 1 + len(PackagesDigest{})
	if !ok || sha256.Sum256(text) != d || len(rest)%size != 0 {
		return all, false
	}
	for one := range slices.Chunk(rest, size) {
		all[one[0]] = PackagesDigest(one[1:])
	}
	return all, true
}

// lines reads the node of a bucket, as lines of a transcript.
func (node NodeSource) lines(d PackagesDigest) (lines []string, ok bool) {
	if d == (PackagesDigest{}) {
		return nil, true
	}
	rest, ok := strings.CutPrefix(string(node(d)), bucketHeader)
	if !ok {
		return nil, false
	}
	hashed := []byte(bucketHeader)
	for line := range strings.Lines(rest) {
		words, err := parseLine(strings.TrimSuffix(line, "\n"))
		if err != nil || len(words) < 2 {
			return nil, false
		}
		hashed = append(hashed, word(words[0])+" "+words[1]+"\n"...)
		lines = append(lines, packageLabel+" "+line)
	}
	return lines, sha256.Sum256(hashed) == d
}

// SeenFiles returns the files of the packages that a step saw, by name, with the beginnings of
// their hashes in hex, as far as nodes tell.
func SeenFiles(transcript string, node NodeSource) map[string]string {
	seen := map[string]string{}
	buckets, _ := node.buckets(packagesOf(transcript).digest)
	for _, b := range buckets {
		lines, _ := node.lines(b)
		for _, line := range lines {
			words, err := parseLine(strings.TrimSuffix(line, "\n"))
			for i := 3; err == nil && i+1 < len(words); i += 2 {
				seen[words[i]] = words[i+1]
			}
		}
	}
	return seen
}
