// cachedir: what is kept between runs, and where: results outside of the checkout, records of its outputs inside.

package cli

import (
	"path/filepath"

	"buildsys/internal/cache"
	"buildsys/internal/executor"
	"buildsys/internal/progress"
)

// openCache returns what is known of earlier builds.
func (c config) openCache(sink progress.Sink) (*executor.Cache, error) {
	store, err := cache.Open(c.storeDir())
	if err != nil {
		return nil, environmentError{err}
	}
	store.Warn = func(text string) { sink.Event(progress.Event{Kind: progress.Warning, Text: text}) }
	memo := cache.NewMemo()
	memo.Load(c.memoFile())
	return &executor.Cache{
		Store:   store,
		Memo:    memo,
		State:   c.stateDir(),
		SDK:     c.recordedSDK(),
		Require: c.requireCached,
		Native:  c.release,
	}, nil
}

func (c config) storeDir() string { return filepath.Join(c.cacheDir, "store") }
func (c config) stateDir() string { return filepath.Join(c.buildDir(), "state", c.arch) }
func (c config) memoFile() string { return filepath.Join(c.buildDir(), "state", "hashes") }

// saveMemo keeps the hashes of files for the next run. Losing them only costs time.
func (c config) saveMemo(memo *cache.Memo) { _ = memo.Save(c.memoFile()) }
