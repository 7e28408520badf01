// Package sdk knows the images that steps run in: the name of a tree's SDK image, the digest that
// it had when an engine was last asked, and how an engine gets it from a remote cache. It asks
// engines only what Engine names, and never pulls an image: outputs must not depend on what a name
// stands for today. Package build uses it between engines and remote.
package sdk

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"

	"buildsys/internal/confined"
	"buildsys/internal/kit"
	"buildsys/internal/workspace"
)

// Default returns the name of the image that the steps of the tree at root run in if no setting
// names one: that of its sdk/, or in a foreign tree that of Twoliter.toml or Twoliter.lock. It is
// empty if the tree names none; planning needs no image. toolchain is what a foreign tree names
// besides, without "-" and the architecture at its end. host is the machine of the engine.
func Default(root, arch, host string) (image, toolchain string, err error) {
	if workspace.IsForeign(root) {
		image, toolchain = ofTwoliter(root, arch)
		return image, toolchain, nil
	}
	image, err = Name(root, host)
	return image, "", err
}

// Name returns the image's name, which is a hash of the files of sdk/ in the tree at root, or of
// the built-in ones if it has none. Equal recipes have equal names on every machine, and a changed
// recipe never runs in the old image. Images for different hosts have different names.
func Name(root, host string) (string, error) {
	r, err := OpenRecipe(root, host)
	if err != nil {
		return "", err
	}
	defer r.Close()
	return r.Name()
}

// Digest returns a hash, in hexadecimal digits, of the names and contents of the files below a
// directory, without those that only explain.
func Digest(files fs.FS, dir string) (string, error) {
	sum := sha256.New()
	err := fs.WalkDir(files, dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !isInput(name, entry) {
			return err
		}
		one, err := hashFile(files, name)
		fmt.Fprintf(sum, "file %q %x\n", name, one)
		return err
	})
	return hex.EncodeToString(sum.Sum(nil)), err
}

func hashFile(files fs.FS, name string) ([]byte, error) {
	f, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, io.LimitReader(f, maxRecipeFile+1))
	if n > maxRecipeFile {
		err = fmt.Errorf("%s has more than %d bytes", name, maxRecipeFile)
	}
	return sum.Sum(nil), err
}

// maxRecipeFile is far above the size of a script or a list of packages.
const maxRecipeFile = 64 << 20

// ofTwoliter returns the images that Twoliter.toml names, or its lock if kits determine the SDK;
// empty if there are none. Loading the tree reports what is wrong with the files.
func ofTwoliter(root, arch string) (image, toolchain string) {
	dir, err := confined.OpenDir(root)
	if err != nil {
		return "", ""
	}
	defer dir.Close()
	if early := workspace.ReadEarlyProject(dir.FS()); early != nil {
		return early.SDK.Ref(arch), early.Toolchain.Ref(arch)
	}
	project := workspace.ReadProject(dir.FS())
	if project == nil {
		return "", ""
	}
	t, err := kit.ReadTree(root, dir.FS(), project)
	if err != nil {
		return "", ""
	}
	if project.SDK != nil {
		return t.ImageRef(*project.SDK), ""
	}
	if lock, err := kit.ReadLock(dir.FS()); err == nil && lock != nil {
		return t.ImageRef(lock.SDK.Image), ""
	}
	return "", ""
}
