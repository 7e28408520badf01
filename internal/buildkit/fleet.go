// Fleet: several engines that share the builds of a run. Each build goes to the least loaded
// engine; one that is lost gets no more builds until it answers again.

package buildkit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"buildsys/internal/engine"
)

const (
	// probeEvery is how often an unused engine is asked whether it answers again.
	probeEvery = 2 * time.Second
	// unknownCPUs is assumed for an engine that does not report its CPUs: a buildkitd elsewhere.
	unknownCPUs = 4
)

// Fleet is several engines of one kind. It does what a Builder does, and is safe for concurrent
// use.
//
// If an engine is lost, its builds fail with transient errors, as on a Builder; built again, they
// go to another engine. There is no queue: callers decide how many builds run at once.
type Fleet struct {
	nodes  []*node
	warn   func(text string)
	ctx    context.Context // of the probes
	cancel context.CancelFunc
	probes sync.WaitGroup

	mu  sync.Mutex
	ids map[string]string // IDs of SDK images, by name: those that the run's keys were made with
}

// node is one engine of a fleet. The fleet's mutex guards its fields, except those that never
// change.
type node struct {
	opt  engine.Options
	host string

	b       *Builder // nil until it has answered once
	up      bool
	barred  bool // it has a different SDK image with the same name
	running int  // builds
	cpus    int
	loading sync.Mutex      // held while it is given an SDK image
	has     map[string]bool // SDK images that it is known to have
}

// optionsOf returns the options of one of several engines.
func optionsOf(o engine.Options, address string) engine.Options {
	if o.BuildKit == "" {
		o.Host = address
		return o
	}
	o.BuildKit = address
	if !strings.HasPrefix(address, "tcp://") { // certificates are only for engines that need them
		o.BuildKitCerts = ""
	}
	return o
}

// DialFleet connects to the engines that the options name, and makes sure that one of them answers.
// It reports the others to engine.Options.Warn and asks them again from time to time. Its errors
// are of type *engine.Error.
func DialFleet(ctx context.Context, opt engine.Options) (*Fleet, error) {
	f := &Fleet{warn: opt.Warn, ids: map[string]string{}}
	if f.warn == nil {
		f.warn = func(string) {}
	}
	for _, address := range opt.Addresses() {
		one := optionsOf(opt, address)
		one.Wait, one.Waiting = 0, nil
		d, err := newDaemon(one)
		if err != nil { // a wrong address is an error in the settings, not an engine that is gone
			return nil, err
		}
		_ = d.close()
		f.nodes = append(f.nodes, &node{opt: one, host: address, has: map[string]bool{}})
	}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	if err := f.connect(ctx, opt); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// connect dials every engine until one answers, and starts probing the others.
func (f *Fleet) connect(ctx context.Context, opt engine.Options) error {
	for begin := time.Now(); ; {
		errs := make([]error, len(f.nodes))
		var wg sync.WaitGroup
		for i, n := range f.nodes {
			wg.Go(func() { errs[i] = f.dial(ctx, n) })
		}
		wg.Wait()
		if slices.Contains(errs, nil) {
			for i, n := range f.nodes {
				if errs[i] != nil {
					f.down(n, errs[i])
				}
			}
			return nil
		}
		if !slices.ContainsFunc(errs, mayCome) || time.Since(begin) >= opt.Wait || ctx.Err() != nil {
			return noneOf(errs)
		}
		if opt.Waiting != nil {
			opt.Waiting(strings.Join(opt.Addresses(), ", "), opt.Wait)
			opt.Waiting = nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(min(250*time.Millisecond, opt.Wait)):
		}
	}
}

// noneOf combines the errors of all engines.
func noneOf(errs []error) error {
	sum := &engine.Error{}
	var hosts, texts []string
	for _, err := range errs {
		var one *engine.Error
		if errors.As(err, &one) {
			sum.Kind, sum.Hint = one.Kind, one.Hint
			hosts = append(hosts, one.Host)
			err = one.Err
		}
		texts = append(texts, err.Error())
	}
	sum.Host, sum.Err = strings.Join(hosts, ", "), errors.New(strings.Join(texts, "; "))
	return sum
}

// dial connects to an engine that has not answered yet, or pings one that has.
func (f *Fleet) dial(ctx context.Context, n *node) error {
	f.mu.Lock()
	b := n.b
	f.mu.Unlock()
	if b != nil {
		err := b.Await(ctx, 0)
		if err == nil { // one that hangs still answers pings
			_, err = b.Info(ctx)
		}
		// The connection of its builds may have failed meanwhile; it would wait a while before it
		// retries.
		if err == nil {
			b.renew(b.client())
		}
		return err
	}
	b, err := Dial(ctx, n.opt)
	if err != nil {
		return err
	}
	info, err := b.Info(ctx)
	if err != nil {
		return errors.Join(err, b.Close())
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n.b, n.cpus, n.up = b, cmp.Or(info.CPUs, unknownCPUs), true
	return nil
}

// down takes an engine out of use, warns once, and probes it until it answers.
func (f *Fleet) down(n *node, why error) {
	f.mu.Lock()
	first := n.up || n.b == nil
	n.up = false
	clear(n.has) // it may come back with an empty store
	f.mu.Unlock()
	if !first { // another build was lost with it
		return
	}
	var engine *engine.Error
	if errors.As(why, &engine) {
		why = engine.Err
	}
	f.warn(fmt.Sprintf("the engine at %s is not used until it answers again: %v", n.host, why))
	f.probes.Go(func() {
		for {
			select {
			case <-f.ctx.Done():
				return
			case <-time.After(probeEvery):
			}
			if err := f.dial(f.ctx, n); err != nil {
				continue
			}
			f.mu.Lock()
			n.up = true
			f.mu.Unlock()
			f.warn(fmt.Sprintf("the engine at %s answers again and is used", n.host))
			return
		}
	})
}

// usable returns the engines that answer.
func (f *Fleet) usable() []*node {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(f.nodes), func(n *node) bool { return !n.up || n.barred })
}

// Await waits until one engine can be used, for at most the given time. Its errors are of type
// *engine.Error.
func (f *Fleet) Await(ctx context.Context, wait time.Duration) error {
	for begin := time.Now(); len(f.usable()) == 0; {
		if time.Since(begin) >= wait || ctx.Err() != nil {
			var errs []error
			for _, n := range f.nodes {
				errs = append(errs, &engine.Error{Kind: "engine", Host: n.host, Err: errNobody,
					Hint: "read their logs"})
			}
			return noneOf(errs)
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
	return nil
}

// Info sums up the engines that answer. Nodes has each engine.
func (f *Fleet) Info(ctx context.Context) (engine.Info, error) {
	var sum engine.Info
	var hosts []string
	var last error
	for _, n := range f.nodes {
		one := engine.NodeInfo{Info: engine.Info{Host: n.host}}
		f.mu.Lock()
		b, up := n.b, n.up && !n.barred
		f.mu.Unlock()
		if one.Err = errNobody; up {
			one.Info, one.Err = b.Info(ctx)
		}
		sum.Nodes = append(sum.Nodes, one)
		hosts = append(hosts, n.host)
		if last = one.Err; last != nil {
			continue
		}
		if sum.Version == "" {
			sum.Kind, sum.Version, sum.API, sum.Driver = one.Kind, one.Version, one.API, one.Driver
		}
		sum.CPUs += cmp.Or(one.CPUs, unknownCPUs)
		sum.Memory += one.Memory
	}
	if sum.Version == "" {
		return engine.Info{}, last
	}
	sum.Host = strings.Join(hosts, ", ")
	return sum, nil
}

// Close ends the probes and closes the connections.
func (f *Fleet) Close() error {
	f.cancel()
	f.probes.Wait()
	var errs []error
	for _, n := range f.nodes {
		if n.b != nil {
			errs = append(errs, n.b.Close())
		}
	}
	return errors.Join(errs...)
}
