// proof: who vouches for sources that no hash is known of: a signature, a list of sums, or nobody.

package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"buildsys/internal/archive"
	"buildsys/internal/confined"
	"buildsys/internal/errkind"
	"buildsys/internal/fetch"
	"buildsys/internal/plan"
	"buildsys/internal/upstream"
)

// Proofs is what the caller wants sources to be verified with.
type Proofs struct {
	Keys      []string // files with public keys
	Signature string   // what to add to the URL of each source, or a URL
	Checksums string   // a URL, or a name beside each source
}

// prover verifies the new sources of a package.
type prover struct {
	s        *Session
	step     string
	want     Proofs
	keys     upstream.Keys
	sums     map[string]*upstream.Sums // by URL
	warnings []string
}

func (s *Session) newProver(ctx context.Context, name string, want Proofs) (*prover, error) {
	p := &prover{s: s, step: string(plan.Package) + "/" + name, want: want,
		sums: map[string]*upstream.Sums{}}
	for _, file := range want.Keys {
		data, err := confined.Path{Name: file}.Read(upstream.MaxProof)
		if err == nil {
			err = p.keys.Add(ctx, "--key "+file, data)
		}
		if err != nil {
			return nil, errkind.Usagef("--key %s: %w", file, err)
		}
	}
	if err := p.addOwnKeys(ctx, name); err != nil {
		return nil, err
	}
	if want.Signature != "" && p.keys.Len() == 0 {
		return nil, errkind.Usagef("--signature needs the signer's public key: give it with --key, or " +
			"put it into the package")
	}
	return p, nil
}

// addOwnKeys adds the public keys that the package itself has.
func (p *prover) addOwnKeys(ctx context.Context, name string) error {
	dir := filepath.Join("packages", name)
	entries, err := confined.ReadDir(os.DirFS(p.s.c.Root), filepath.ToSlash(dir))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, ok := upstream.SignatureOf(e.Name()); !ok && path.Ext(e.Name()) != ".key" {
			continue
		}
		at := confined.Path{Root: p.s.c.Root, Name: filepath.Join(dir, e.Name())}
		data, err := at.Read(upstream.MaxProof)
		if err == nil && strings.Contains(string(data), "PGP PUBLIC KEY BLOCK") {
			err = p.keys.Add(ctx, at.Name, data)
			if err != nil {
				return errkind.Usagef("%s: %w", at.Name, err)
			}
		}
	}
	return nil
}

// prove returns the sources with what vouches for each.
func (p *prover) prove(ctx context.Context, moves []upstream.Move, learnt []fetch.Learnt) (
	[]LearntSource, error) {
	var all []LearntSource
	var faults []error
	for i, m := range moves {
		if i > 0 && m.To.URL == moves[i-1].To.URL {
			continue
		}
		one := LearntSource{Name: m.To.Name(), SHA512: learnt[i].SHA512, Size: learnt[i].Size}
		proofs, err := p.proofs(ctx, moves, learnt, i)
		if err != nil {
			kind := errkind.Of(err)
			if kind == errkind.Unexpected {
				kind = errkind.Integrity
			}
			faults = append(faults, errkind.Wrap(kind, fmt.Errorf("%s: %w", one.Name, err)))
		}
		_, isSignature := upstream.SignatureOf(one.Name)
		switch {
		case isSignature:
		case len(proofs) > 0:
			one.Proof = strings.Join(proofs, " and ")
		case learnt[i].Plain:
			one.Proof = "nothing, not even TLS"
		default:
			one.Proof = "nothing but TLS"
		}
		all = append(all, one)
	}
	return all, errors.Join(faults...)
}

// proofs returns what vouches for the source i. What is wrong is an error.
func (p *prover) proofs(ctx context.Context, moves []upstream.Move, learnt []fetch.Learnt, i int) (
	proofs []string, err error) {
	name := moves[i].To.Name()
	if _, isSignature := upstream.SignatureOf(name); isSignature {
		return nil, nil
	}
	for j, m := range moves {
		signs, unpacked := upstream.Signs(m.To.Name(), name)
		if !signs {
			continue
		}
		if p.keys.Len() == 0 {
			p.warnings = append(p.warnings, fmt.Sprintf("the signature %s is not checked: there is no "+
				"public key in the package, and none by --key", m.To.Name()))
			continue
		}
		data, err := confined.Path{Name: learnt[j].Path}.Read(upstream.MaxProof)
		if err != nil {
			return nil, err
		}
		by, err := p.signer(ctx, learnt[i].Path, data, unpacked)
		if err != nil {
			return nil, fmt.Errorf("its signature %s: %w", m.To.Name(), err)
		}
		proofs = append(proofs, "signature by "+by)
	}
	more, err := p.asked(ctx, moves[i], learnt[i])
	return append(proofs, more...), err
}

// asked returns what the caller's signature and sums say.
func (p *prover) asked(ctx context.Context, m upstream.Move, l fetch.Learnt) (proofs []string,
	err error) {
	if p.want.Signature != "" {
		at, mine := p.want.Signature, true
		if !strings.Contains(at, "://") {
			at, mine = m.To.URL+at, false
		}
		data, from, err := p.page(ctx, at, mine)
		if err != nil {
			return nil, err
		}
		_, unpacked := upstream.Signs(path.Base(from), m.To.Name())
		by, err := p.signer(ctx, l.Path, data, unpacked)
		if err != nil {
			return nil, fmt.Errorf("its signature %s: %w", from, err)
		}
		proofs = append(proofs, "signature by "+by)
	}
	if p.want.Checksums != "" {
		text, err := p.listed(ctx, m, l)
		if err != nil {
			return nil, err
		}
		proofs = append(proofs, text)
	}
	return proofs, nil
}

// page fetches what vouches for something.
func (p *prover) page(ctx context.Context, at string, mine bool) ([]byte, string, error) {
	data, _, err := p.s.sources(p.s.out).Page(ctx, fetch.Wanted{Step: p.step, URL: at, Mine: mine,
		Max: upstream.MaxProof})
	return data, at, err
}

// signer returns who signed a file, or what is packed in it.
func (p *prover) signer(ctx context.Context, file string, signature []byte, unpacked bool) (string,
	error) {
	if !unpacked {
		f, err := confined.Path{Name: file}.Open()
		if err != nil {
			return "", err
		}
		defer f.Close()
		return p.keys.Check(ctx, f, signature)
	}
	r, w := io.Pipe()
	defer r.Close()
	go func() { w.CloseWithError(archive.Unpack(ctx, file, w)) }()
	return p.keys.Check(ctx, r, signature)
}

// listed holds a source against the list of sums.
func (p *prover) listed(ctx context.Context, m upstream.Move, l fetch.Learnt) (string, error) {
	source, err := url.Parse(m.To.URL)
	if err != nil {
		return "", err
	}
	at, err := source.Parse(p.want.Checksums)
	if err != nil {
		return "", errkind.Usagef("--checksums: %w", err)
	}
	where := at.String()
	sums := p.sums[where]
	if sums == nil {
		data, _, err := p.page(ctx, where, strings.Contains(p.want.Checksums, "://"))
		if err != nil {
			return "", err
		}
		if sums, err = upstream.ParseSums(ctx, data, &p.keys); err != nil {
			return "", fmt.Errorf("%s: %w", where, err)
		}
		p.sums[where] = sums
	}
	f, err := confined.Path{Name: l.Path}.Open()
	if err != nil {
		return "", err
	}
	defer f.Close()
	kind, err := sums.Check(m.To.Name(), f)
	switch {
	case err != nil:
		return "", fmt.Errorf("%s: %w", where, err)
	case sums.Signer != "":
		return fmt.Sprintf("%s of %s, signed by %s", kind, where, sums.Signer), nil
	}
	return fmt.Sprintf("%s of the checksum file %s, which nobody signed", kind, where), nil
}
