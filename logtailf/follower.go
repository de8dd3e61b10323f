// Package logtailf follows log files: it finds them, is woken when they change,
// reads them in whole lines, and goes with them through rotations, truncations,
// compression and deletion. It knows nothing of formats and destinations.
package logtailf

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/checkpoint"
	"github.com/logcatchsys/logcatchsys/internal/record"
)

// A Config is one source as one follower reads it.
type Config struct {
	Source   string
	Path     string   // absolute: a path or a doublestar glob
	Literal  bool     // Path is a path, whatever characters are in it
	Exclude  []string // of what the glob matches
	Rotated  []string // patterns of its generations' names; nil: the usual habits
	FromEnd  bool     // where the files of a source never seen before begin
	Symlinks bool     // follow links that the glob finds
	MaxLine  int      // bytes; a longer line comes in pieces
	Labels   string   // JSON object, or empty
	Host     string

	Poll       time.Duration // how often to look where notifications do not work
	RotateWait time.Duration // how long a rotated file must be quiet before it is let go
	MaxDeleted int64         // bytes of deleted files held for an output that is behind; 0: no limit
	Once       bool          // read all there is, then end
}

// An Inlet is the way into one output.
type Inlet interface {
	// Free gives empty batches; having one is the right to read one.
	Free() <-chan *record.Batch
	// Put hands a batch over. It does not block.
	Put(*record.Batch)
	// Return gives back a batch that was not used.
	Return(*record.Batch)
}

// A Ledger holds the positions of one output. *checkpoint.Ledger is one.
type Ledger interface {
	Load(prefix string) ([]checkpoint.Entry, error)
	Register(put []checkpoint.Entry, del []string) error
	Touch(keys []string) error
	// Taken reports whether something handed over for key is not committed yet.
	Taken(key string) bool
}

// Metrics counts what a follower does. Its methods are called from the follower's goroutines.
type Metrics interface {
	Read(bytes, records int)
	Abandoned(reason string, bytes int64)
}

// Deps is what a follower works with.
type Deps struct {
	Inlet   Inlet
	Ledger  Ledger
	Hub     *Hub
	Handles *Handles
	Metrics Metrics
	Log     *slog.Logger
}

// Stats is what a follower shows of itself.
type Stats struct {
	Ready     bool   // everything was looked at once
	Unread    string // what is there and cannot be read, and why; "": each file is followed or waits for a good reason
	LagBytes  int64
	LagSince  time.Time // since when there is something unread or not accepted; zero if nothing
	OpenFiles int
	Pending   int   // rotated generations not let go yet
	Held      int64 // bytes of deleted files that the output still needs
}

const (
	// sweepEvery is how often everything is looked at although notifications work.
	sweepEvery = 30 * time.Second
	// tickEvery is how often waiting things are looked at: rotated files that may
	// have become quiet, paths that failed, links.
	tickEvery = time.Second
)

// A Follower reads one source for one output. All of its state but stats belongs to
// the goroutine in Run.
type Follower struct {
	cfg    Config
	d      Deps
	log    *slog.Logger
	finder *finder
	habits habits
	reader reader
	sub    *Subscription

	trails map[string]*trail
	files  map[identity]*generation   // by what is on disk now
	claims map[identity][]*generation // from the checkpoint, of files not seen yet
	places map[string]*generation
	byID   map[string]*generation

	folders   map[string]*folder
	inFolder  map[string][]*trail // trails by the folder of their path
	links     []*trail
	later     map[string]bool     // paths that cannot be judged yet
	blocked   map[string][]*trail // of those, the ones that newer generations wait for
	doubted   map[string]bool     // of those, the ones of which it is not known whose they are
	rejudged  map[string]bool     // unknown files that grew while they were judged
	round     int                 // of classify
	unknown   map[string]fileStat // regular files that no generation is known to own
	listing   map[string]bool     // folders to list before anything is read
	listings  int                 // how many folders were listed so far
	unlisted  map[string]bool     // folders that are there and could not be listed the last time
	listNames func(dir string) (map[string]uint64, error)
	baseline  bool // the source is seen for the first time
	ready     []*trail
	fresh     []*generation   // not in the checkpoint yet
	moved     []*generation   // let go, or found elsewhere: the checkpoint is to be told where they are
	waiting   map[*trail]bool // to be looked at with each tick
	said      map[string]string
	unseen    map[*trail]error // paths that could not be looked at the last time, though there may be a file
	streaming *generation      // one compressed generation is read at a time: decoders are large
	awaiting  map[*trail]bool  // the end of that
	pause     time.Time        // nothing is read before: the checkpoint refused
	readUntil time.Time        // reading goes first: as long as the last look took
	swept     time.Time
	forgot    bool // not all that the checkpoint knows is in memory

	polled  time.Time
	touched time.Time
	seen    map[string]time.Time // when the checkpoint last knew of an entry

	pipes   sync.WaitGroup
	pipeCtx context.Context
	heirs   []*generation // open files taken over from the follower before

	calm    bool  // nothing was read or looked at since the stats were made
	listed  bool  // what is looked at now was found by listing its folder
	handed  int64 // bytes, in all
	lag     lagClock
	statsMu sync.Mutex
	stats   Stats
	looked  bool // everything was looked at once
}

// New makes a follower. Before, if not nil, followed the same source for the same
// output and has ended: files that only it still holds open are taken over.
func New(cfg Config, d Deps, before *Follower) (*Follower, error) {
	h, err := newHabits(cfg.Rotated)
	if err != nil {
		return nil, err
	}
	f := &Follower{
		cfg: cfg, d: d, habits: h,
		log:      d.Log.With("source", cfg.Source),
		finder:   newFinder(cfg),
		reader:   reader{maxLine: cfg.MaxLine},
		trails:   map[string]*trail{},
		files:    map[identity]*generation{},
		claims:   map[identity][]*generation{},
		places:   map[string]*generation{},
		byID:     map[string]*generation{},
		folders:  map[string]*folder{},
		unknown:  map[string]fileStat{},
		listing:  map[string]bool{},
		unlisted: map[string]bool{}, listNames: listNames,
		later:    map[string]bool{},
		blocked:  map[string][]*trail{},
		doubted:  map[string]bool{},
		rejudged: map[string]bool{},
		inFolder: map[string][]*trail{},
		waiting:  map[*trail]bool{},
		awaiting: map[*trail]bool{},
		said:     map[string]string{},
		unseen:   map[*trail]error{},
	}
	if before != nil {
		f.heirs = before.heldOnly()
	}
	if !f.finder.glob {
		d.Hub.claims.follow(f, cfg.Path) // before others look for what they may take for theirs
	}
	return f, nil
}

// heldOnly gives away the generations whose files are open: no path may lead to them any
// more, or they may be deleted before they are opened again. Among them are those that f
// took over and did not come to. It closes all others.
func (f *Follower) heldOnly() []*generation {
	only := f.heirs
	f.heirs = nil
	for _, g := range f.byID {
		if !g.done && !g.skip && (g.place == "" || g.kind == "") && g.held() {
			if g.place != "" {
				g.handle.lay() // others may need the descriptor meanwhile
			}
			only = append(only, g)
			continue
		}
		g.close()
	}
	f.byID = nil
	return only
}

// Close lets go of all files. The follower must not be running.
func (f *Follower) Close() {
	f.d.Hub.claims.end(f)
	for _, g := range f.heldOnly() {
		g.close()
	}
}

// Stats is a snapshot; it may be called from any goroutine.
func (f *Follower) Stats() Stats {
	f.statsMu.Lock()
	defer f.statsMu.Unlock()
	return f.stats
}

// Run follows until ctx ends or, with Once, until all there is has been handed
// over. It returns an error only if the checkpoint cannot be read.
func (f *Follower) Run(ctx context.Context) error {
	f.sub = f.d.Hub.Subscribe()
	defer f.sub.Close()
	defer f.d.Hub.claims.end(f)
	defer f.pipes.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	f.pipeCtx = ctx

	if err := f.load(); err != nil {
		return err
	}
	f.lookFirst(ctx)
	tick := time.NewTicker(min(tickEvery, f.cfg.Poll))
	defer tick.Stop()
	for {
		if len(f.ready) == 0 && f.cfg.Once && f.finishOnce() {
			return nil
		}
		free := f.d.Inlet.Free()
		if len(f.ready) == 0 || time.Now().Before(f.pause) {
			free = nil
		}
		if time.Now().Before(f.readUntil) {
			select {
			case b := <-free:
				f.readOne(b)
				continue
			default:
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-f.sub.C():
			f.calm = false
			began := time.Now()
			f.look(f.sub.Take())
			f.readUntil = time.Now().Add(time.Since(began))
		case <-tick.C:
			f.tick()
		case b := <-free:
			f.calm = false
			f.readOne(b)
		}
	}
}

// readOne fills b from the next trail that has something to read, and puts the
// trail behind the others, so that a backlog does not hold up the living.
func (f *Follower) readOne(b *record.Batch) {
	handed := false
	defer func() {
		if !handed { // also if this panics: the output has only so many
			f.d.Inlet.Return(b)
		}
	}()
	for len(f.ready) > 0 {
		t := f.ready[0]
		f.ready = f.ready[1:]
		t.ready = false
		if g, ok := f.step(t, b); ok {
			f.send(g, b)
			handed = true
			f.wake(t)
			return
		}
		f.settle(t)
	}
}

// wake puts t among the trails to read.
func (f *Follower) wake(t *trail) {
	f.calm = false // also where a poll has found it, and the output takes nothing
	if !t.ready && !t.piped {
		t.ready = true
		f.ready = append(f.ready, t)
	}
}

// step looks for the next batch of t: the old generations to their ends, then the new.
func (f *Follower) step(t *trail, b *record.Batch) (*generation, bool) {
	if t.disordered {
		f.arrange(t)
	}
	for i := 0; i < len(t.queue); i++ {
		g := t.queue[i]
		if t.blocked > 0 && (!g.rotated || g.read == 0 && f.doubts(t)) {
			return nil, false
		}
		final := g.atEnd && g.rotated && g.unfinished()
		switch {
		case final && !f.quiet(g) && !g.late:
			return nil, false // its unfinished line comes before the lines of the next one
		case final && !f.quiet(g), !final && g.atEnd:
			continue
		}
		out, err := f.read(g, b, final)
		switch {
		case err == nil && out == gotBatch:
			return g, true
		case f.requeued(g, out, err):
			i = -1 // begin again
		case err != nil:
			return nil, false // in order: what comes behind waits
		case !final:
			i-- // an unfinished line of its may be due
		}
	}
	return nil, false
}

// requeued deals with what came of reading g when that was no batch. It reports
// whether the queue changed.
func (f *Follower) requeued(g *generation, out outcome, err error) bool {
	switch {
	case errors.Is(err, errGone):
		return f.settleGone(g)
	case errors.Is(err, errOlder):
		return true
	case err != nil:
		if !errors.Is(err, errWait) {
			f.endStream(g)
			f.complain(g, err)
			g.refused = err
		}
		return false
	case out == replaced:
		f.truncated(g)
		f.classify() // what came between is read before what the file holds now
		return true
	}
	return false
}

// quiet reports whether g has not grown for long enough to be let go.
func (f *Follower) quiet(g *generation) bool {
	return f.cfg.Once || time.Since(g.grew) >= f.cfg.RotateWait
}

// read reads one batch of g into b, opening its file if need be.
func (f *Follower) read(g *generation, b *record.Batch, final bool) (outcome, error) {
	g.refused = nil
	if err := f.ensureOpen(g); err != nil {
		return atEnd, err
	}
	if g.startBy > 0 {
		if err := f.startBehind(g, g.startBy); err != nil {
			return atEnd, err
		}
	}
	if g.kind != "" && g.stream == nil {
		err := f.openContent(g)
		if errors.Is(err, ErrDamaged) {
			f.damaged(g, err)
			return atEnd, nil
		}
		if err != nil {
			return atEnd, err
		}
	}
	if empty, err := f.ensureRegistered(g); empty || err != nil {
		g.atEnd = empty
		f.rest(g)
		return atEnd, err
	}
	g.more = false
	out, err := f.reader.next(g, b, final)
	if errors.Is(err, ErrDamaged) {
		f.damaged(g, err)
		err = nil
	}
	if err != nil {
		return out, err
	}
	f.silence(g.place)
	g.atEnd = out == atEnd || out == gotBatch && !g.more && g.kind == ""
	if out != replaced {
		g.wrote = g.mtime
		f.rest(g)
	}
	return out, nil
}

// rest lets the pool close g's file if it can be found again under its name. What
// was read and not accepted yet does not matter: it is in the output's hands, and g
// goes on where it stopped reading.
func (f *Follower) rest(g *generation) {
	if g.atEnd {
		f.endStream(g)
	}
	if g.handle != nil && g.place != "" && g.stream == nil {
		g.handle.lay()
	}
}

// endStream closes the content of g, if it is read now: others' may be opened.
func (f *Follower) endStream(g *generation) {
	if g.stream != nil {
		g.stream.close()
		g.stream = nil
	}
	if f.streaming == g {
		f.streaming = nil
		for t := range f.awaiting {
			f.wake(t)
		}
		clear(f.awaiting)
	}
}

// send hands b, read from g, over to the output.
func (f *Follower) send(g *generation, b *record.Batch) {
	b.Source, b.File, b.Labels = f.cfg.Source, g.trail.path, f.cfg.Labels
	b.Gen, b.Key = g.id, g.key
	b.Read = time.Now()
	p := g.position()
	b.Mark = p.append(b.Mark[:0])
	b.Accepted = &g.accepted
	f.handed += int64(len(b.Data))
	f.d.Metrics.Read(len(b.Data), b.Count)
	if b.Partial != nil && b.Partial.Piece == 0 {
		f.log.Warn("a line is longer than max_line: delivered in pieces", "file", g.trail.path,
			"offset", b.From, "max_line", f.cfg.MaxLine)
	}
	f.d.Inlet.Put(b)
}

// complain says once what is wrong with g's file, until it is right again.
func (f *Follower) complain(g *generation, err error) {
	where := g.place
	if where == "" {
		where = g.trail.path
	}
	f.say(where, err)
}

// say logs err about path unless that was the last that was said about it.
func (f *Follower) say(path string, err error) {
	if text := err.Error(); f.said[path] != text {
		f.said[path] = text
		f.log.Warn("cannot be read for now; trying again", "path", path, "error", err)
	}
}

// silence ends a complaint.
func (f *Follower) silence(path string) {
	if _, ok := f.said[path]; ok {
		delete(f.said, path)
		f.log.Info("can be read again", "path", path)
	}
}

func baseName(path string) string { return filepath.Base(path) }

func (t *trail) name() string { return filepath.Base(t.path) }
