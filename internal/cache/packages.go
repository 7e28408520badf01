// Packages: one digest for all packages whose outputs a step sees, and what it stands for.

package cache

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"iter"
	"slices"
	"strings"
)

// A step may see thousands of packages, and of its neighbours' thousands nearly all are the same.
// So a transcript has one line for them, "packages DIGEST". The digest is that of a tree of two
// levels, made as follows; strings are in double quotes, \n is a newline, and nothing stands
// between the parts.
//
//   - The bucket of a package is the first byte of the sha256 of its name.
//   - The digest of a bucket is the sha256 of "buildsys bucket 1\n" and, for each of the packages
//     in it that the step sees, sorted by name: the name, as a word of a transcript; " "; the
//     content ID of its outputs in hex; "\n".
//   - The digest of all is the sha256 of "buildsys packages 1\n" and, for each bucket that the step
//     sees a package of, ascending: a byte, the bucket; 32 bytes, its digest.
//
// Names and content IDs alone decide, in an order that follows from the names: where in a plan the
// steps are, how large it is, and by which edges a step came to see a package has no part in it. A
// word holds neither space nor newline outside of quotes and a content ID has one length, so a
// bucket's text can be read in one way only; and the first lines keep the text of a bucket, that of
// a tree and a transcript apart. So digests are equal only for equal sets, as far as sha256 goes.
// The buckets make it cheap: steps that see the same packages of a bucket share its digest.

// PackageBuckets is the number of buckets.
const PackageBuckets = 256

const (
	bucketHeader   = "buildsys bucket 1\n"
	packagesHeader = "buildsys packages 1\n"

	// packagesLabel begins the line of a transcript with the digest; in its place packageLabel begins
	// the lines that are shown to people, one for each package.
	packagesLabel = "packages"
	packageLabel  = "rpms"
)

// PackagesDigest is the digest of a bucket or of all. The zero value is that of a bucket of which
// nothing is seen.
type PackagesDigest [32]byte

// String returns the digest in hex.
func (d PackagesDigest) String() string { return hex.EncodeToString(d[:]) }

// PackageBucket returns the bucket of a package.
func PackageBucket(name string) int {
	sum := sha256.Sum256([]byte(name))
	return int(sum[0])
}

// Package is one that steps see: in a digest by its name and content ID, and for people with the
// names of its files and the beginnings of their hashes.
type Package struct {
	name    string
	content ContentID
	words   Words
	short   int // how much of words is name and content ID
}

// NewPackage describes the package.
func NewPackage(name string, content ContentID, files []File) Package {
	words := []string{name, content.String()}
	short := len(NewWords(words...).text)
	for _, f := range files {
		words = append(words, f.Name, hex.EncodeToString(f.SHA256[:6]))
	}
	return Package{name, content, NewWords(words...), short}
}

// Words returns all of it, for a line of a transcript.
func (p Package) Words() Words { return p.words }

// DigestBucket returns the digest of those packages of a bucket that a step sees, sorted by name.
// scratch is memory to work in, which it returns.
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

// BucketNode returns the text that is kept for people of the packages of a bucket.
func BucketNode(seen iter.Seq[Package]) []byte {
	text := []byte(bucketHeader)
	for p := range seen {
		text = append(text, p.words.text[1:]...)
		text = append(text, '\n')
	}
	return text
}

// PackagesNode returns the text whose sha256 is the digest of all. It is kept as it is.
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

// AddPackages writes the line of a step that sees the packages of the given node.
func (t *Transcript) AddPackages(node []byte) {
	t.Add(packagesLabel, PackagesDigest(sha256.Sum256(node)).String())
}

// NodeSource returns the node of a digest, nil where there is none. It need not be right: what it
// returns is held against the digest.
type NodeSource func(PackagesDigest) []byte

// Explain is Diff with the digests of packages resolved: of the packages it names those that
// differ. Where nodes are missing it says only that there are some.
func Explain(old, new string, node NodeSource) []Change {
	before, after := packagesOf(old), packagesOf(new)
	if before.digest == after.digest {
		return Diff(old, new)
	}
	oldLines, newLines, all := differing(before.digest, after.digest, node)
	return Diff(before.replaced(old, oldLines, all), after.replaced(new, newLines, all))
}

// packagesLine is where in a transcript the digest is. It is empty where the step sees no packages.
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

// replaced puts lines in the place of the digest's; without instead they come before it.
func (l packagesLine) replaced(text string, lines []string, instead bool) string {
	rest := text[l.to:]
	if !instead {
		rest = text[l.from:]
	}
	return text[:l.from] + strings.Join(lines, "") + rest
}

// differing returns the lines of the packages in those buckets that differ between two digests; all
// is false if some could not be read on both sides, which are left out.
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

// buckets reads the node of all packages; of a step that sees none there is no node.
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
