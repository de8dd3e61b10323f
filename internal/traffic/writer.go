// Package traffic plays the systems that write and rotate logs, and checks what a collector made of
// them: Writer writes numbered lines and rotates the file in the ways that are in use, Verifier
// reads what arrived and counts what was lost, repeated, torn or out of order.
package traffic

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
)

// Stats is what a Writer wrote.
type Stats struct {
	Source    string     `json:"source"`
	Path      string     `json:"path"`
	Numbered  bool       `json:"numbered"`
	Lines     int64      `json:"lines"`
	Bytes     int64      `json:"bytes"`
	Rotations int64      `json:"rotations"`
	Writers   []Sequence `json:"writers"`
}

// Sequence is the numbers First to Last of one writer; Last is First-1 if it wrote nothing.
type Sequence struct {
	ID    string `json:"id"`
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
}

// Writer writes one log. The zero Options are not usable: start from Default.
type Writer struct {
	Source
	Options
}

// Run writes until all is written, the context ends or something fails. The end of the context is
// not an error: every line that was begun is whole, and the Stats say how far it came; so they do
// beside an error. Missing folders are made.
func (w Writer) Run(ctx context.Context) (Stats, error) {
	if err := w.Validate(); err != nil {
		return Stats{Source: w.Name, Path: w.Path}, fmt.Errorf("options of %s: %w", w.Name, err)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	l := &log{Options: w.Options, source: w.Source, stop: stop}
	for i := range w.Writers {
		l.scribes = append(l.scribes, newScribe(l, i+1))
	}
	var ticker sync.WaitGroup
	if w.Every > 0 {
		ticker.Go(func() { l.rotateEvery(ctx) })
	}
	for round := 0; (w.Rounds == 0 || round < w.Rounds) && ctx.Err() == nil; round++ {
		l.round(ctx)
	}
	stop()
	ticker.Wait()
	l.closeAll()
	return l.stats(), l.err
}

// Run writes all sources at the same time. The first failure ends them all.
func Run(ctx context.Context, sources []Source, o Options) ([]Stats, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	all := make([]Stats, len(sources))
	var first error
	var once sync.Once
	var wg sync.WaitGroup
	for i, source := range sources {
		wg.Go(func() {
			var err error
			if all[i], err = (Writer{source, o}).Run(ctx); err != nil {
				once.Do(func() { first = err })
				stop()
			}
		})
	}
	wg.Wait()
	return all, first
}

// log is one path while it is written.
type log struct {
	Options
	source  Source
	scribes []*scribe
	stop    context.CancelFunc

	// turning is held for a whole rotation with its compression, mu only while the file changes:
	// the writers hold it for reading while they write.
	turning sync.Mutex
	mu      sync.RWMutex
	line    sync.Mutex // one line at a time, if lines are written in pieces

	renamed   uint64       // guarded by mu: renames the writers have to follow by themselves
	fresh     atomic.Int64 // lines in the current file
	rotations atomic.Int64
	names     namer // guarded by turning

	failed sync.Once
	err    error // written once; read after all goroutines have ended
}

// fail keeps the first error and ends the run.
func (l *log) fail(err error) {
	l.failed.Do(func() { l.err = err })
	l.stop()
}

// round writes the lines of one round and rotates at its end. The late lines of RenameKeep are the
// last lines of the round, so that they come in the last round, too.
func (l *log) round(ctx context.Context) {
	if l.rotatesInside() {
		l.phase(ctx, func(share int64) int64 { return share })
		return
	}
	late := int64(0)
	if l.Rotate == RenameKeep {
		late = int64(l.Late)
	}
	l.phase(ctx, func(share int64) int64 { return max(share-late, 0) })
	if ctx.Err() != nil {
		return
	}
	l.rotate(ctx, nil)
	l.phase(ctx, func(share int64) int64 { return min(share, late) })
}

// phase has every writer write a part of its share of a round, and waits for them.
func (l *log) phase(ctx context.Context, part func(share int64) int64) {
	var wg sync.WaitGroup
	for i, s := range l.scribes {
		share := l.Lines / int64(l.Writers)
		if int64(i) < l.Lines%int64(l.Writers) {
			share++
		}
		if n := part(share); n > 0 {
			wg.Go(func() { s.write(ctx, n) })
		}
	}
	wg.Wait()
}

func (l *log) stats() Stats {
	st := Stats{Source: l.source.Name, Path: l.source.Path, Numbered: l.Numbered, Rotations: l.rotations.Load()}
	for _, s := range l.scribes {
		st.Lines += int64(s.next - l.From)
		st.Bytes += s.bytes
		st.Writers = append(st.Writers, Sequence{ID: s.id, First: l.From, Last: s.next - 1})
	}
	return st
}
