// Remote caches: the results of other machines are known without their bytes, which are fetched
// only when a build or the user needs them.

package executor

import (
	"context"
	"errors"
	"fmt"
	"os"

	"buildsys/internal/builddir"
	"buildsys/internal/cache"
	"buildsys/internal/errkind"
	"buildsys/internal/oci"
	"buildsys/internal/progress"
)

// remote returns the result of an action in a remote cache: from the note in the store, or else
// from the caches.
func (w worker) remote(ctx context.Context, act action) (cache.Entry, bool) {
	entry, noted, ok := w.ask(ctx, act)
	if !ok || noted {
		return entry, ok
	}
	if err := w.o.Cache.Store.PutRemote(entry); err != nil {
		w.warn(fmt.Sprintf("cannot note a result of the remote cache: %v", err))
	}
	return entry, true
}

// ask is remote without noting the answer; noted reports whether it was noted before.
func (w worker) ask(ctx context.Context, act action) (entry cache.Entry, noted, ok bool) {
	c := w.o.Cache
	if c.Trusts == nil || w.step.Private {
		return cache.Entry{}, false, false
	}
	if entry, ok := c.Store.Remote(act.id); ok && w.trusts(entry) {
		return entry, true, true
	}
	if act.transcript == "" && c.Remote.Reads() {
		var err error
		if act, err = w.key(cache.ActionID{}); err != nil {
			return cache.Entry{}, false, false
		}
	}
	entry, ok = c.Remote.Lookup(ctx, act.id, storedName(w.step.ID, w.plan.Arch), act.transcript)
	return entry, false, ok
}

// place fetches the outputs of an action from a remote cache, checks them like those of a build,
// stores them and puts them in place. A *builddir.HostError means that this machine cannot do so;
// after any other error the step has to be built.
func (w worker) place(ctx context.Context) error {
	entry := w.action.remote
	w.report(progress.Event{Kind: progress.FetchStart})
	return w.staging.Use(w.step.ID, func(dir string) error {
		if err := w.fetch(ctx, entry, dir); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		log := w.fetchLog(ctx, entry, dir+".log")
		defer func() { _ = os.Remove(log) }() // if it stays, the staging directory is emptied anyway
		if _, err := w.o.Cache.Store.Put(entry, dir, log); err != nil {
			w.warn(fmt.Sprintf("the result is not kept in the store: %v", err))
		}
		w.staging.Stage("stored")
		if err := w.staging.Publish(outputsOf(w.step), dir); err != nil {
			return err
		}
		w.report(progress.Event{Kind: progress.StepFetched, Text: entry.Origin})
		return w.remember(w.action)
	})
}

// fetch puts the outputs of an entry into dir, and refuses those that could not be published if
// they had been built here.
func (w worker) fetch(ctx context.Context, entry cache.Entry, dir string) error {
	c := w.o.Cache.Remote
	if !c.Reads() {
		return errors.New("the remote cache that has its outputs is not used in this run")
	}
	err := c.Fetch(ctx, entry, dir)
	if local, ok := errors.AsType[*oci.LocalError](err); ok {
		return &builddir.HostError{Step: w.step.ID, Doing: "fetch the outputs", Err: local.Err}
	}
	if err != nil {
		return err
	}
	if err = w.check(ctx, dir); err == nil {
		var content cache.ContentID
		if _, content, err = cache.ScanDir(dir); err == nil && content != entry.Content {
			err = errors.New("its files do not have its content ID")
		}
	}
	if err == nil || ctx.Err() != nil || errkind.Is[*builddir.HostError](err) {
		return err
	}
	return c.Refuse(entry, err)
}

// fetchLog downloads the log of an entry to a path and returns the path; "" if there is none.
// Outputs are not refused for want of a log.
func (w worker) fetchLog(ctx context.Context, entry cache.Entry, path string) string {
	if entry.Log.IsZero() {
		return ""
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		err = errors.Join(w.o.Cache.Remote.FetchLog(ctx, entry, f), f.Close())
	}
	if err != nil {
		w.warn(fmt.Sprintf("its log is not kept: %v", err))
		_ = os.Remove(path)
		return ""
	}
	return path
}

// unplaced records that the remote cache does not deliver the outputs it announced. It returns an
// error if the run must not build them instead.
func (w worker) unplaced(err error) error {
	w.warn(fmt.Sprintf("its outputs cannot be taken from the remote cache: %v; it is built", err))
	w.o.Cache.Store.ForgetRemote(w.action.id)
	return w.mayBuild(w.action)
}

// share uploads a result that was built here, in the background, unless that is for this machine.
func (w worker) share(entry cache.Entry) {
	if w.step.Private {
		return
	}
	if entry.Here() {
		entry.Origin = ""
	}
	entry.Packages = func() []cache.Package { return w.made.all(w.plan, rpmsOf(w.step)) }
	w.o.Cache.Remote.Push(entry, w.o.Cache.Store.OpenBlob)
}

// shareStored uploads the result of an action if it is in the store.
func (w worker) shareStored(id cache.ActionID) {
	if w.step.Private || !w.o.Cache.Remote.Writes() { // reading the entry would be in vain
		return
	}
	if entry, ok := w.o.Cache.Store.Get(id); ok {
		w.share(entry)
	}
}

func (w worker) warn(text string) { w.report(progress.Event{Kind: progress.Warning, Text: text}) }
