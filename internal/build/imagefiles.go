// imagefiles: what goes into images besides RPMs, and the images that exist.

package build

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"buildsys/internal/builddir"
	"buildsys/internal/confined"
	"buildsys/internal/errkind"
	"buildsys/internal/image"
	"buildsys/internal/plan"
	"buildsys/internal/sbkeys"
	"buildsys/internal/sbom"
)

// override is a file that a setting names, to be put into images in place of that of a package.
type override struct {
	env, name string
	path      confined.Path
	check     func([]byte) error
}

// rootJSON returns the override for the root metadata of the update repository.
func (s *Session) rootJSON() override {
	return override{"PUBLISH_REPO_ROOT_JSON", "root.json", s.c.Image.RootJSON, checkMetadata}
}

// overrides returns the files that settings put into images. They are read now.
func (s *Session) overrides() ([]plan.File, error) {
	var files []plan.File
	for _, one := range []override{
		{"BUILDSYS_CACERTS_BUNDLE_OVERRIDE", "ca-bundle.crt", s.c.Image.CACerts, checkCertificates},
		s.rootJSON(),
	} {
		data, err := one.read()
		if err != nil {
			return nil, err
		}
		if data != nil {
			files = append(files, plan.File{Name: one.name, Data: data, Mode: 0o644})
		}
	}
	return files, nil
}

// read returns the contents of the file, nil if none is named. One that an untrusted tree names
// must be what it is for.
func (o override) read() ([]byte, error) {
	if o.path.IsZero() {
		return nil, nil
	}
	data, err := o.path.Read(maxOverride)
	if err != nil {
		return nil, errkind.Usagef("%s: %w", o.env, err)
	}
	if err := o.check(data); err != nil && o.path.Root != "" {
		return nil, errkind.Usagef("%s: %s %w", o.env, o.path, err)
	}
	return append([]byte{}, data...), nil
}

// maxOverride is far above the size of the largest certificate bundles.
const maxOverride = 16 << 20

// checkCertificates returns an error unless data is certificates, perhaps with comments between.
func checkCertificates(data []byte) error {
	count := 0
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" && block.Type != "TRUSTED CERTIFICATE" {
			return fmt.Errorf("holds a %q, which is no certificate", block.Type)
		}
		count++
	}
	if count == 0 {
		return errors.New("holds no certificate in PEM format")
	}
	return nil
}

// checkMetadata returns an error unless data is signed metadata of an update repository (The Update
// Framework, "root.json").
func checkMetadata(data []byte) error {
	var root struct {
		Signed struct {
			Type string `json:"_type"`
		}
	}
	if json.Unmarshal(data, &root) != nil || root.Signed.Type != "root" {
		return errors.New("is not the root metadata of an update repository: " +
			`it has no "signed" of the type "root"`)
	}
	return nil
}

// signing returns the keys for an image. Private keys are needed only when the image is built: one
// in the store is restored without them.
func (s *Session) signing(how plan.Signatures) (plan.SigningKeys, error) {
	scheme := sbkeys.Scheme(how)
	dir := s.c.Image.KeysDir
	keys := plan.SigningKeys{Secrets: map[string]confined.Path{},
		Firmware: func() (map[string]string, error) { return sbkeys.Placeholders(dir) }}
	public, err := scheme.ReadPublic(dir)
	if err != nil {
		return keys, err
	}
	for _, name := range scheme.Public() {
		file := plan.File{Name: name, Data: public[name], Mode: 0o644}
		keys.Public = append(keys.Public, file)
	}
	for _, name := range scheme.Secret() {
		keys.Secrets[name] = dir.Join(name)
	}
	return keys, nil
}

// latestDir returns the link to the directory of the variant's newest images.
func (s *Session) latestDir() string {
	return filepath.Join(s.dir.Images(s.c.Variant), builddir.Latest)
}

// NewestImage returns the disks of the variant's newest image, in whatever format; data is empty if
// everything is on one disk.
func (s *Session) NewestImage() (system, data string, err error) {
	if err := s.dir.Check(); err != nil {
		return "", "", err
	}
	if system, data, err = disksIn(s.latestDir()); system == "" && err == nil {
		err = errkind.Usagef("there is no image of %s for %s in %s: "+
			"run buildsys build-variant %[1]s --arch %[2]s first", s.c.Variant, s.c.Arch, s.latestDir())
	}
	return system, data, err
}

// BootImage returns the disks of the image in the directory from, or if that is empty of the
// variant's newest. It refuses the latter if this user has not made it: the caller names that.
func (s *Session) BootImage(ctx context.Context, from string) (system, data string, err error) {
	if from != "" {
		if system, data, err = disksIn(from); system == "" && err == nil {
			err = errkind.Usagef("--from: there is no disk image in %s", from)
		}
		return system, data, err
	}
	if system, data, err = s.NewestImage(); err != nil {
		return "", "", err
	}
	names := []string{filepath.Base(system)}
	if data != "" {
		names = append(names, filepath.Base(data))
	}
	return system, data, s.checkVouched(ctx, s.latestDir(), names)
}

// disksIn returns the disks among the outputs of an image's build; "" stands for one that is not
// there.
func disksIn(dir string) (system, data string, err error) {
	for _, format := range []string{"raw", "qcow2", "vmdk"} {
		suffix := plan.DiskSuffix(format)
		images, err := confined.Glob(os.DirFS(dir), "*"+suffix)
		if err != nil {
			return "", "", err
		}
		for _, name := range images {
			image := filepath.Join(dir, name)
			if info, err := os.Lstat(image); err != nil || !info.Mode().IsRegular() {
				continue // a link with another name of the image
			}
			if strings.HasSuffix(image, "-data"+suffix) {
				data = image
			} else {
				system = image
			}
		}
	}
	return system, data, nil
}

// CreateBootLog creates the file for the console of the variant's image.
func (s *Session) CreateBootLog() (*os.File, error) { return s.dir.CreateBootLog(s.c.Variant) }

// BootLog returns the path of that file.
func (s *Session) BootLog() string { return s.dir.BootLog(s.c.Variant) }

// RepackSource returns the outputs to repack: those in the directory from, or if that is empty the
// variant's newest. out is the directory for the new outputs; empty means beside the others. It
// resolves the link to the newest image now, as the new image may move it, and refuses one that
// this user has not made: the caller names that.
func (s *Session) RepackSource(ctx context.Context, from, out string) (*plan.RepackSource, error) {
	if err := s.dir.Check(); err != nil {
		return nil, err
	}
	hint, named := "", from != ""
	if from == "" {
		from = s.latestDir()
		hint = fmt.Sprintf(": build it with 'buildsys build-variant %s --arch %s', "+
			"or name another with --from", s.c.Variant, s.c.Arch)
	}
	resolved, err := filepath.EvalSymlinks(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errkind.Usagef("there is no image of variant %s to repack: %s does not exist%s",
			s.c.Variant, from, hint)
	}
	if err != nil {
		return nil, errkind.BadEnvironment(err)
	}
	entries, err := confined.List(resolved)
	if err != nil {
		return nil, errkind.Usagef("the image of variant %s to repack: %w", s.c.Variant, err)
	}
	source := &plan.RepackSource{Dir: resolved, Out: out}
	for _, e := range entries {
		// Links are other names of the same files.
		if e.Type().IsRegular() && !builddir.IsPaper(e.Name()) {
			source.Names = append(source.Names, e.Name())
		}
	}
	if err := checkAlone(resolved, source.Names); err != nil {
		return nil, errkind.Usagef("the image of variant %s to repack: %w", s.c.Variant, err)
	}
	if out != "" {
		err = s.checkOut(out)
	}
	if err == nil && !named {
		err = s.checkVouched(ctx, resolved, source.Names)
	}
	return source, err
}

// checkAlone refuses disk images that are not what their names say, or are not all in their file:
// the recipe's qemu-img would follow them to the files of its container, the keys among them.
func checkAlone(dir string, names []string) error {
	for _, name := range names {
		format := strings.TrimPrefix(filepath.Ext(name), ".")
		if format != image.Qcow2 && format != image.VMDK {
			continue
		}
		if err := image.Require(filepath.Join(dir, name), format); err != nil {
			return err
		}
	}
	return nil
}

// checkOut refuses a directory with anything but an image of the variant, as its contents will be
// replaced as a whole.
func (s *Session) checkOut(dir string) error {
	entries, err := confined.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return errkind.Usagef("--out: %w", err)
	}
	kit := s.c.Variant + "-" + s.c.Arch + "-kmod-kit-"
	stem := strings.Join([]string{s.c.Image.Name, s.c.Variant, s.c.Arch}, "-")
	ours := []string{inventoryName, sbom.SPDXName, sbom.CycloneDXName, kit, stem}
	for _, e := range entries {
		begins := func(begin string) bool { return strings.HasPrefix(e.Name(), begin) }
		if !slices.ContainsFunc(ours, begins) {
			return errkind.Usagef("--out %s would be replaced as a whole, but it holds %s: "+
				"name a new directory", dir, e.Name())
		}
	}
	return nil
}
