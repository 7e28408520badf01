// prove: states of an image from what and by what it was made, in papers beside it.

package build

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"buildsys/internal/builddir"
	"buildsys/internal/cache"
	"buildsys/internal/confined"
	"buildsys/internal/ctxio"
	"buildsys/internal/errkind"
	"buildsys/internal/git"
	"buildsys/internal/image"
	"buildsys/internal/plan"
	"buildsys/internal/provenance"
)

// SignConfig is who signs what is stated of images. Zero is nobody.
type SignConfig struct {
	Key     string // file with a private key
	Program string // that holds a key
}

// signer returns the key, nil for none.
func (c SignConfig) signer(ctx context.Context) (dsse.SignerVerifier, error) {
	switch {
	case c.Key != "" && c.Program != "":
		return nil, errkind.Usagef("--sign-key and --signer are mutually exclusive")
	case c.Key != "":
		return provenance.ReadKey(c.Key)
	case c.Program != "":
		return provenance.Program(ctx, c.Program)
	}
	return nil, nil
}

// apart reports whether the results of this session are kept apart from all others.
func (s *Session) apart() bool { return s.c.Apart != "" }

// proves reports whether something is stated of the outputs of a request.
func (s *Session) proves(want Request) bool {
	return (s.c.Sign != SignConfig{} || s.c.Remote.Release) && !s.apart() && !want.Dev && !want.Verify
}

// prove writes the papers of the images that a plan has put in place.
func (s *Session) prove(ctx context.Context, p plan.Plan) error {
	for i, step := range p.Steps {
		if step.Kind != plan.Variant && step.Kind != plan.Repack {
			continue
		}
		if err := s.proveImage(ctx, p, i); err != nil {
			return fmt.Errorf("the provenance of %s: %w", step.Name, err)
		}
	}
	return nil
}

func (s *Session) proveImage(ctx context.Context, p plan.Plan, at int) error {
	signer, err := s.c.Sign.signer(ctx)
	if err != nil {
		return err
	}
	i, err := s.stated(ctx, p, at)
	if err != nil {
		return err
	}
	i.StepsSigned = s.c.Sign.Key != ""
	if s.c.Remote.Release {
		if err := s.checkLicences(ctx, p.Steps[at], i.Entry); err != nil {
			return err
		}
	}
	statements, err := i.Statements()
	if err != nil {
		return err
	}
	text, err := provenance.Seal(ctx, statements, signer, i.StepsSigned)
	if err != nil {
		return err
	}
	end := builddir.SignedPaper
	if signer == nil {
		end = builddir.UnsignedPaper
	}
	return builddir.WritePapers(s.c.Root, p.Steps[at].Out,
		map[string][]byte{paperStem(i.Entry) + end: text})
}

// paperStem returns the beginning of the names of an image's papers.
func paperStem(e cache.Entry) string {
	disks := DiskFiles(e)
	if len(disks) == 0 {
		return "image"
	}
	name, _, _ := strings.Cut(disks[0].Name, ".img.lz4")
	for _, format := range []string{".qcow2", ".vmdk", ".ova"} {
		name = strings.TrimSuffix(name, format)
	}
	return name
}

// stated returns what is known of an image.
func (s *Session) stated(ctx context.Context, p plan.Plan, at int) (i provenance.Image, err error) {
	step := p.Steps[at]
	i = provenance.Image{Variant: step.Name, Arch: p.Arch, Release: s.c.Remote.Release,
		SDK: provenance.SDK{Name: s.c.SDK.Image}, Program: s.program}
	if i.Tree, err = s.treeStated(ctx); err != nil {
		return i, err
	}
	inTree := confined.Path{Root: s.c.Root, Name: filepath.Join("sdk", "packages.lock")}
	lock, err := inTree.Read(maxLock)
	switch {
	case err == nil:
		sum := sha256.Sum256(lock)
		i.SDK.Lock = hex.EncodeToString(sum[:])
	case !errors.Is(err, fs.ErrNotExist):
		return i, errkind.BadEnvironment(err)
	}
	store, err := s.openStore(s.out)
	if err != nil {
		return i, err
	}
	for k, one := range p.Steps[:at] {
		known, err := s.madeStep(store, one, p.Arch)
		if err != nil {
			return i, err
		}
		if known == nil && s.c.Remote.Release {
			return i, errkind.Environmentf("nothing is recorded of %s, which it was made from",
				p.Steps[k].ID)
		}
		if known != nil { // others were not needed: the image came from elsewhere
			i.Steps = append(i.Steps, *known)
		}
	}
	made, err := s.madeStep(store, step, p.Arch)
	if err != nil || made == nil {
		return i, cmp.Or(err, errkind.Environmentf("nothing is recorded of the image"))
	}
	i.Step = *made
	i.Partitions, err = partitions(ctx, step)
	return i, err
}

const maxLock = 64 << 20

// madeStep returns what the store knows of the outputs of a step, nil if nothing.
func (s *Session) madeStep(store *cache.Store, step plan.Step, arch string) (
	*provenance.Step, error) {
	state, ok := builddir.ReadStateHead(s.dir.State(), step.ID)
	if !ok {
		return nil, nil
	}
	e, ok := store.Peek(state.Action)
	if !ok {
		e, ok = store.Remote(state.Action)
	}
	if !ok || e.Content != state.Content || e.Step != step.ID+" "+arch {
		return nil, nil
	}
	maker, _ := store.MakerOf(e.Action)
	return &provenance.Step{Entry: e, Maker: maker}, nil
}

// treeStated returns the commit of the tree; without git or a commit, nothing.
func (s *Session) treeStated(ctx context.Context) (t provenance.Tree, err error) {
	t.Commit, t.Dirty, err = git.Head(ctx, s.c.Root, treeInputs...)
	if err != nil && !s.c.Remote.Release {
		return provenance.Tree{Dirty: true, Path: "."}, nil
	}
	if err != nil {
		return t, errkind.BadEnvironment(err)
	}
	t.Path, err = git.Within(s.c.Root)
	return t, errkind.BadEnvironment(err)
}

// partitions returns the sha256 of all partitions of an image's disks, by file and label.
func partitions(ctx context.Context, step plan.Step) (map[string]map[string]string, error) {
	all := map[string]map[string]string{}
	if step.Layout == nil {
		return all, nil
	}
	for _, disk := range step.Layout.Disks {
		name := plan.DiskFile(step, disk.Name)
		sums, err := partitionSums(ctx, filepath.Join(step.Out, name))
		if err != nil {
			return nil, err
		}
		all[name] = sums
	}
	return all, nil
}

// partitionSums returns the sha256 of the partitions of a disk, by label.
func partitionSums(ctx context.Context, file string) (map[string]string, error) {
	disk, err := image.Open(ctx, file, "")
	if err != nil {
		return nil, err
	}
	defer disk.Close()
	table, err := image.ReadGPT(disk, disk.Size)
	if err != nil {
		return nil, err
	}
	sums := map[string]string{}
	for _, e := range table.Entries {
		label := e.Label
		if _, twice := sums[label]; twice || label == "" {
			label = fmt.Sprint(e.Number)
		}
		hash := sha256.New()
		part := io.NewSectionReader(disk, e.Start, e.Size)
		if _, err := io.Copy(hash, ctxio.NewReader(ctx, part)); err != nil {
			return nil, err
		}
		sums[label] = hex.EncodeToString(hash.Sum(nil))
	}
	return sums, nil
}
