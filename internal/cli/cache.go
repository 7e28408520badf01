// cache: measures, trims and verifies the store of built outputs.

package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"buildsys/internal/bytesize"
	"buildsys/internal/cache"
	"buildsys/internal/errkind"
	"buildsys/internal/history"
	"buildsys/internal/objects"
)

const cacheHelp = `The store keeps the outputs of every step under a hash of everything that went
into it, so that no step runs twice on this machine. It is the directory "store"
in the cache directory (BUILDSYS_CACHE_DIR, else buildsys in the user's cache
directory), outside of every checkout. All checkouts of a user share it.
Whatever is damaged counts as never stored: its step runs again.

You can delete the store at any time; steps then run again. Beside it are the
runs that are kept (see runs) and, in the directory "objects", what compilers
made for --compile-cache; stat and trim count both as well.`

func newCacheCommand(a *app) *cobra.Command {
	return group("cache", "Measure, trim and verify the store of built outputs", cacheHelp,
		newCacheStat(a), newCacheTrim(a), newCacheVerify(a))
}

func newCacheStat(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "stat",
		Short: "Show how much is in the store",
		Args:  usage(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			store, err := a.openStore()
			if err != nil {
				return err
			}
			st, err := store.Stat()
			if err != nil {
				return errkind.BadEnvironment(err)
			}
			runs, err := a.keptRuns()
			if err != nil {
				return err
			}
			kept, err := runs.Stat()
			if err != nil {
				return err
			}
			compiled, err := a.compiledObjects()
			if err != nil {
				return err
			}
			size, err := compiled.Stat()
			if err != nil {
				return errkind.BadEnvironment(err)
			}
			if asJSON {
				return a.printJSON("cache-stat", struct {
					Dir string `json:"dir"`
					cache.Stats
					Runs    history.Stats `json:"runs"`
					Objects objects.Size  `json:"objects"`
				}{store.Dir, st, kept, size})
			}
			a.printStoreStat(store, st)
			a.printOtherStat(kept, size)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func (a *app) printStoreStat(store *cache.Store, st cache.Stats) {
	fmt.Fprintf(a.sys.Stdout, "store    %s\nentries  %d\nblobs    %d\nsize     %s\n",
		store.Dir, st.Entries, st.Blobs, bytesize.Format(st.Bytes))
	if st.Quarantined > 0 {
		fmt.Fprintf(a.sys.Stdout, "damaged  %d files in %s\n", st.Quarantined,
			store.Quarantine())
	}
	if st.Entries > 0 {
		fmt.Fprintf(a.sys.Stdout, "used     between %s and %s\n", st.Oldest.Format(time.DateTime),
			st.Newest.Format(time.DateTime))
	}
}

// printOtherStat prints what is beside the store.
func (a *app) printOtherStat(kept history.Stats, compiled objects.Size) {
	fmt.Fprintf(a.sys.Stdout, "runs     %d, %s\nobjects  %d, %s\n", kept.Runs,
		bytesize.Format(kept.Bytes), compiled.Objects, bytesize.Format(compiled.Bytes))
	if len(compiled.Spoiled) > 0 {
		fmt.Fprintf(a.sys.Stdout, "not used objects of %s: one differed from what the compiler made\n",
			strings.Join(compiled.Spoiled, ", "))
	}
}

func newCacheTrim(a *app) *cobra.Command {
	var age, size string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "trim",
		Short: "Remove what was not used for a long time",
		Long: `Removes the results of steps that were not used for longer than --max-age. Then,
if need be, removes those that were unused for longest, until the store is no
larger than --max-size. Runs that ended longer ago than --max-age are removed
too, and what compilers made that was not used for longer; --max-size does not
count them. An age is a number and d (days), h, m or s; a size is a
number and K, M, G or T (powers of 1024). 0 means no limit. The command waits
for running builds; builds that start meanwhile wait for it.`,
		Example: "  buildsys cache trim --max-age 7d --max-size 20G",
		Args:    usage(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			maxAge, err := parseAge(age)
			if err != nil {
				return errkind.Usagef("--max-age: %w", err)
			}
			maxBytes, err := bytesize.Parse(size)
			if err != nil {
				return errkind.Usagef("--max-size: %w", err)
			}
			store, err := a.openStore()
			if err != nil {
				return err
			}
			removed, err := store.Trim(maxAge, maxBytes, time.Now())
			if err != nil {
				return errkind.BadEnvironment(err)
			}
			runs, err := a.trimRuns(maxAge)
			if err != nil {
				return err
			}
			size, err := a.trimObjects(maxAge)
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON("cache-trim", struct {
					cache.Trimmed
					Runs    history.Stats `json:"runs"`
					Objects objects.Size  `json:"objects"`
				}{removed, runs, size})
			}
			fmt.Fprintf(a.sys.Stdout, "removed %d entries and %d blobs, %s; %d runs, %s; %d objects, %s\n",
				removed.Entries, removed.Blobs, bytesize.Format(removed.Bytes), runs.Runs,
				bytesize.Format(runs.Bytes), size.Objects, bytesize.Format(size.Bytes))
			return nil
		},
	}
	cmd.Flags().StringVar(&age, "max-age", "30d", "remove what was not used for longer")
	cmd.Flags().StringVar(&size, "max-size", "0", "remove more until the store is this small")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func newCacheVerify(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Read everything in the store and move aside what is damaged",
		Long: `Reads every byte in the store and compares it with its hash. Damaged files are
moved to the directory "quarantine" in the store, and their steps run again when
they are needed. If it finds damage, the command exits with 5.`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			store, err := a.openStore()
			if err != nil {
				return err
			}
			found, err := store.Verify(cmd.Context(), store.Warn)
			if err != nil {
				return err
			}
			if asJSON {
				err = a.printJSON("cache-verify", found)
			} else {
				fmt.Fprintf(a.sys.Stdout, "read %d entries and %d blobs, %s: %d damaged\n",
					found.Entries, found.Blobs, bytesize.Format(found.Bytes), found.Damaged)
			}
			if err == nil && found.Damaged+found.Dropped > 0 {
				err = errkind.Wrap(errkind.Integrity,
					fmt.Errorf("the store was damaged: %d files moved to %s, %d results dropped; check that disk",
						found.Damaged, store.Quarantine(), found.Dropped))
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// openStore opens the store in the cache directory of the settings.
func (a *app) openStore() (*cache.Store, error) {
	dir, _, err := a.caller().UserCache()
	if err != nil {
		return nil, err
	}
	store, err := cache.Open(dir.Store())
	if err != nil {
		return nil, errkind.BadEnvironment(err)
	}
	store.Warn = func(text string) { fmt.Fprintf(a.sys.Stderr, "buildsys: warning: %s\n", text) }
	return store, nil
}

// compiledObjects returns what compilers made, in the cache directory of the settings. It need not
// be there.
func (a *app) compiledObjects() (*objects.Store, error) {
	dir, _, err := a.caller().UserCache()
	return &objects.Store{Dir: dir.Objects()}, err
}

// trimObjects removes what compilers made that is older than an age, or over the usual limit.
func (a *app) trimObjects(age time.Duration) (objects.Size, error) {
	store, err := a.compiledObjects()
	if err != nil {
		return objects.Size{}, err
	}
	removed, err := store.Trim(objects.Limits{Age: age, Bytes: objects.Usual.Bytes}, time.Now())
	return removed, errkind.BadEnvironment(err)
}

// keptRuns returns the runs in the cache directory of the settings.
func (a *app) keptRuns() (history.Dir, error) {
	dir, shared, err := a.caller().UserCache()
	return history.Dir{Path: dir.Runs(shared)}, err
}

// trimRuns removes the runs that are older than an age, and what is over the usual limits.
func (a *app) trimRuns(age time.Duration) (history.Stats, error) {
	runs, err := a.keptRuns()
	if err != nil {
		return history.Stats{}, err
	}
	limits := history.Usual
	limits.Age = age
	removed, err := runs.Trim(limits, time.Now())
	return removed, errkind.BadEnvironment(err)
}

// parseAge parses a duration that may also be in days.
func parseAge(text string) (time.Duration, error) {
	if text == "0" {
		return 0, nil
	}
	age, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n int64
		if n, err = strconv.ParseInt(days, 10, 32); n > 36500 {
			return 0, fmt.Errorf("%q is more than a century: use 0 for no limit", text)
		}
		age = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || age < 0 {
		return 0, fmt.Errorf("%q is not an age: use a number and d, h, m or s, such as 30d", text)
	}
	return age, nil
}
