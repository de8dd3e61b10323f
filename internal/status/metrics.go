// Package status shows how the daemon is doing: metrics and health, over HTTP. It
// knows nothing of how the work is done.
package status

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// A Key names one source as it is followed for one output.
type Key struct{ Source, Output string }

// Metrics holds all figures of the process. Its methods, and those of what it
// gives, may be called from any goroutine.
type Metrics struct {
	registry *prometheus.Registry

	mu      sync.RWMutex
	tails   map[Key]*Tail
	outputs map[string]*Output

	reloads  [2]atomic.Int64 // failed, taken
	loaded   atomic.Bool     // whether the last one was taken
	loadedAt atomic.Int64    // when one was taken last, Unix nanoseconds; 0: never
}

// New gives metrics in a registry of their own, beside those of the Go runtime and
// of the process.
func New() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		tails:    map[Key]*Tail{},
		outputs:  map[string]*Output{},
	}
	m.registry.MustRegister(m, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Loaded counts a configuration that was loaded first, when the daemon starts.
func (m *Metrics) Loaded() {
	m.loaded.Store(true)
	m.loadedAt.Store(time.Now().UnixNano())
}

// Reloaded counts a changed configuration that was taken, or was not.
func (m *Metrics) Reloaded(taken bool) {
	if taken {
		m.reloads[1].Add(1)
		m.Loaded()
		return
	}
	m.reloads[0].Add(1)
	m.loaded.Store(false)
}

// Tail gives the figures of a source for an output, the same ones until Remove.
func (m *Metrics) Tail(k Key) *Tail {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.tails[k]
	if t == nil {
		t = &Tail{abandoned: maps.Clone(noneAbandoned), dropped: map[string]int64{}, waits: "has not started yet"}
		m.tails[k] = t
	}
	return t
}

// Output gives the figures of an output, the same ones until RemoveOutput.
func (m *Metrics) Output(name string) *Output {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := m.outputs[name]
	if o == nil {
		o = &Output{name: name, metrics: m}
		m.outputs[name] = o
	}
	return o
}

// Remove ends the showing of a source for an output.
func (m *Metrics) Remove(k Key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.tails, k)
}

// RemoveOutput ends the showing of an output.
func (m *Metrics) RemoveOutput(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.outputs, name)
}

// NotReady says of every source that is not followed yet, or not at the moment,
// why: a line each, sorted; none when all is well.
func (m *Metrics) NotReady() []string {
	var lines []string
	for _, e := range m.sorted() {
		if why := e.tail.notReady(); why != "" {
			lines = append(lines, fmt.Sprintf("source %s, output %s: %s", e.Source, e.Output, why))
		}
	}
	return lines
}

// Looked reports whether every source is followed and was looked at once, even if
// some of it cannot be read.
func (m *Metrics) Looked() bool {
	return !slices.ContainsFunc(m.sorted(), func(e entry) bool {
		s, waits := e.tail.now()
		return waits != "" || !s.Ready
	})
}

type entry struct {
	Key
	tail *Tail
}

// sorted is a copy of all tails, so that no lock is held while they are asked.
func (m *Metrics) sorted() []entry {
	m.mu.RLock()
	defer m.mu.RUnlock()
	all := make([]entry, 0, len(m.tails))
	for k, t := range m.tails {
		all = append(all, entry{k, t})
	}
	slices.SortFunc(all, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Output, b.Output))
	})
	return all
}

// An Output holds the figures of one output.
type Output struct {
	name    string
	metrics *Metrics
	retries atomic.Int64
	fails   atomic.Bool
}

// Works says whether what the output tried last has worked.
func (o *Output) Works(yes bool) { o.fails.Store(!yes) }

// Retry counts a write, flush or commit that failed and is tried again.
func (o *Output) Retry() { o.retries.Add(1) }

// Delivered counts what the output has durably accepted of a source.
func (o *Output) Delivered(source string, bytes, records int) {
	o.metrics.mu.RLock()
	t := o.metrics.tails[Key{source, o.name}]
	o.metrics.mu.RUnlock()
	if t != nil { // else it was removed with lines under way
		t.delivered(bytes, records)
	}
}

// Dropped counts records that the output gave up, by a reason of a few words.
// Delivered is told of them too.
func (o *Output) Dropped(source, reason string, records int) {
	o.metrics.mu.RLock()
	t := o.metrics.tails[Key{source, o.name}]
	o.metrics.mu.RUnlock()
	if t != nil {
		t.gaveUp(reason, records)
	}
}
