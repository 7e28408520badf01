// history: which images of a variant were put in place, so that earlier ones can be named. The
// images themselves are in the store.

package builddir

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"buildsys/internal/atomicfile"
	"buildsys/internal/cache"
	"buildsys/internal/confined"
)

// Placed is an image that was put in place.
type Placed struct {
	Action cache.ActionID
	At     time.Time // zero if it is not known
}

const (
	// maxPlaced is how many images are remembered of a variant.
	maxPlaced  = 50
	maxHistory = 64 << 10 // bytes
)

const historySuffix = ".images"

func historyPath(dir, variant string) confined.Path {
	return confined.Path{Root: dir, Name: fileName("variant/"+variant) + historySuffix}
}

// History returns the images of a variant that were put in place, the newest first and each once.
// dir has the records. They may have come with the checkout: only the store knows what this user
// has made.
func History(dir, variant string) []Placed { return readHistory(historyPath(dir, variant)) }

func readHistory(path confined.Path) []Placed {
	data, err := path.Read(maxHistory)
	if err != nil {
		return nil
	}
	var all []Placed
	for line := range strings.Lines(string(data)) {
		words := strings.Fields(line)
		if len(words) != 2 || len(all) == maxPlaced {
			continue
		}
		action, err := cache.ParseActionID(words[0])
		seconds, bad := strconv.ParseInt(words[1], 10, 64)
		if err == nil && bad == nil {
			one := Placed{Action: action}
			if seconds > 0 {
				one.At = time.Unix(seconds, 0)
			}
			all = append(all, one)
		}
	}
	return all
}

// Histories returns the images of all variants that were put in place.
func Histories(dir string) (all []Placed) {
	names, _ := confined.Glob(os.DirFS(dir), "*"+historySuffix) // fails only for a malformed pattern
	for _, name := range names {
		all = append(all, readHistory(confined.Path{Root: dir, Name: name})...)
	}
	return all
}

// Remember notes in the directory of records that an image of a variant was put in place, after
// those before it, the newest first. Below top, the checkout, no link is followed.
func Remember(top, dir, variant string, before []Placed, p Placed) error {
	if len(before) > 0 && before[0].Action == p.Action && !before[0].At.IsZero() {
		return nil
	}
	var text strings.Builder
	for i, one := range append([]Placed{p}, before...) {
		if i == 0 || one.Action != p.Action && i < maxPlaced {
			fmt.Fprintf(&text, "%s %d\n", one.Action, max(0, one.At.Unix()))
		}
	}
	own, err := confined.Hold(top, dir)
	if err != nil {
		return err
	}
	defer own.Close()
	at := historyPath(dir, variant).Name
	return own.Fault("replace", at, atomicfile.Replace(own.Path(at), []byte(text.String()), 0o644))
}
