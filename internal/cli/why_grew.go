// why --grew: why an image became larger: bytes, files, packages, and what was changed.

package cli

import (
	"context"
	"fmt"

	"buildsys/internal/cache"
	"buildsys/internal/contents"
	"buildsys/internal/errkind"
)

// grewFiles is how many files of a package why --grew names.
const grewFiles = 5

// whyGrew explains in which packages two images differ in size, the largest change first, and what
// these packages were made from.
func (a *app) whyGrew(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return errkind.Usagef("--grew compares two images: why --grew IMAGE IMAGE")
	}
	pair, err := a.openPair(ctx, args)
	if err != nil {
		return err
	}
	defer pair.close()
	d, err := pair.compare(ctx, a)
	if err != nil {
		return orCause(ctx, err)
	}
	total := int64(0)
	for _, p := range d.Packages {
		total += p.Bytes
	}
	out := a.sys.Stdout
	printf(out, "%s from %s to %s\n", signed(total), pair.old.Name, pair.new.Name)
	for _, p := range d.Packages {
		if p.Bytes == 0 {
			continue
		}
		printf(out, "%s %s%s; files: %d added, %d removed, %d changed\n", signed(p.Bytes), p.Name,
			versions(p), p.Added, p.Removed, p.Changed)
		a.writeGrown(d, p.Name)
		changes, err := a.inputsOf(pair, p)
		if err != nil {
			return err
		}
		for _, line := range changes {
			printf(out, "    because %s\n", line)
		}
	}
	return nil
}

// writeGrown names the files of a package that changed most.
func (a *app) writeGrown(d contents.Diff, name string) {
	files := d.Largest(name)
	for i, f := range files {
		if i == grewFiles {
			printf(a.sys.Stdout, "    … %d more files\n", len(files)-i)
			return
		}
		printf(a.sys.Stdout, "    %s %s (%s)\n", signed(f.Bytes), oneLine(f.Path), f.Change)
	}
}

// inputsOf returns what changed in what a package was made from, or what of that is not known.
func (a *app) inputsOf(pair imagePair, p contents.PackageDiff) ([]string, error) {
	if p.Added+p.Removed+p.Changed == 0 {
		return []string{"the file system stores the same files in another form"}, nil
	}
	if p.Name == contents.NoPackage || p.Name == contents.Directories {
		return a.imageInputs(pair)
	}
	switch {
	case pair.new.session == nil || p.Old == nil && p.New == nil:
		return []string{"of something that is not known: there is no RPM of it here"}, nil
	case p.Before == "":
		return []string{"it is new in the image"}, nil
	case p.After == "":
		return []string{"it is in the image no more"}, nil
	case p.Old == nil || p.New == nil || len(p.Old.Keys) == 0 || len(p.New.Keys) == 0:
		return []string{"of something that is not known: the store has only one of its builds"}, nil
	case p.Old.Keys[0] == p.New.Keys[0]:
		return []string{"the step of the image treats it differently: its RPM is the same"}, nil
	}
	in, err := pair.new.session.ChangedInputs(p.Old.Keys, p.New.Keys)
	if err != nil {
		return nil, err
	}
	if !in.Known {
		return []string{"of something that is not known: the store has its builds no more"}, nil
	}
	return texts(in.Changes), nil
}

// imageInputs returns what changed for the step of the image.
func (a *app) imageInputs(pair imagePair) ([]string, error) {
	old, now := pair.old.found.Entry, pair.new.found.Entry
	if old == nil || now == nil || pair.new.session == nil {
		return []string{"of something that is not known: only images of a variant that this user has " +
			"made have a record of their inputs"}, nil
	}
	in, err := pair.new.session.ChangedInputs([]string{old.Action.String()},
		[]string{now.Action.String()})
	if err != nil || !in.Known {
		return []string{"of something that is not known: the store has its builds no more"}, err
	}
	return texts(in.Changes), nil
}

func texts(changes []cache.Change) []string {
	const most = 12
	var lines []string
	for i, c := range changes {
		if i == most {
			lines = append(lines, fmt.Sprintf("%d more inputs changed", len(changes)-i))
			break
		}
		lines = append(lines, c.String())
	}
	return lines
}
