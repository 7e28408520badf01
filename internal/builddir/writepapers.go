// Writes papers beside the outputs of an image.

package builddir

import (
	"os"

	"buildsys/internal/atomicfile"
	"buildsys/internal/confined"
)

// WritePapers replaces the papers in the directory of an image, by name. Below top, the checkout,
// no link is followed.
func WritePapers(top, dir string, papers map[string][]byte) error {
	held, err := confined.HoldExisting(top, dir)
	if err == nil {
		defer held.Close()
		err = replacePapers(held, papers)
	}
	if err != nil {
		return &HostError{Doing: "write what is stated of the image", Err: err}
	}
	return nil
}

func replacePapers(dir confined.Held, papers map[string][]byte) error {
	entries, err := confined.List(dir.Path("."))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, stays := papers[e.Name()]; IsPaper(e.Name()) && !stays {
			if err := os.Remove(dir.Path(e.Name())); err != nil {
				return dir.Fault("remove", e.Name(), err)
			}
		}
	}
	for name, data := range papers {
		if err := atomicfile.Replace(dir.Path(name), data, 0o644); err != nil {
			return dir.Fault("replace", name, err)
		}
	}
	return nil
}
