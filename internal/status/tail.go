package status

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// Stats is what a source, followed for an output, is at the moment.
type Stats struct {
	Ready     bool      // everything was looked at once
	Unread    string    // what is there and cannot be read, and why; "": nothing
	LagBytes  int64     // in files, not accepted by the output
	LagSince  time.Time // since when that is not zero
	OpenFiles int
	Pending   int   // rotated generations not let go yet
	Held      int64 // bytes of deleted files that the output still needs
}

// noneAbandoned are the reasons to abandon bytes, which show before the first is: only a
// change can be alerted on. What is lost in a damaged file is not known in bytes, so that
// its reason shows when there is one.
var noneAbandoned = map[string]int64{"gone": 0, "truncated": 0, "max_deleted": 0}

// A Tail holds the figures of one source for one output. They go on over restarts
// of what does the work.
type Tail struct {
	readBytes, readRecords           atomic.Int64
	deliveredBytes, deliveredRecords atomic.Int64
	lineBytes, lineRecords           atomic.Int64 // read and not delivered
	restarts                         atomic.Int64

	mu        sync.Mutex
	abandoned map[string]int64 // bytes by reason
	dropped   map[string]int64 // records by reason
	owed      int64            // dropped records that delivered will be told of
	stats     func() Stats     // nil: nothing runs
	waits     string           // why nothing runs
	stopped   time.Time        // since when
}

// Read counts what was read and handed to the output.
func (t *Tail) Read(bytes, records int) {
	t.readBytes.Add(int64(bytes))
	t.readRecords.Add(int64(records))
	t.lineBytes.Add(int64(bytes))
	t.lineRecords.Add(int64(records))
}

func (t *Tail) delivered(bytes, records int) {
	t.deliveredBytes.Add(int64(bytes))
	t.deliveredRecords.Add(int64(records) - t.settle(int64(records)))
	lower(&t.lineBytes, int64(bytes))
	lower(&t.lineRecords, int64(records))
}

// lower takes from a, which stays at 0: what was on its way when the source was removed
// is not among the figures of one that was added again.
func lower(a *atomic.Int64, by int64) {
	for {
		if old := a.Load(); a.CompareAndSwap(old, max(old-by, 0)) {
			return
		}
	}
}

// gaveUp counts records that the output will never deliver. They are among those that
// delivered is told of next.
func (t *Tail) gaveUp(reason string, records int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dropped[reason] += int64(records)
	t.owed += int64(records)
}

// settle is how many of the records that left were not delivered but dropped.
func (t *Tail) settle(records int64) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := min(t.owed, records)
	t.owed -= n
	return n
}

// Abandoned counts bytes that will never be delivered.
func (t *Tail) Abandoned(reason string, bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.abandoned[reason] += bytes
}

// Restarted counts a goroutine that failed.
func (t *Tail) Restarted() { t.restarts.Add(1) }

// Started takes where to ask for the Stats from now on.
func (t *Tail) Started(stats func() Stats) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stats, t.waits, t.stopped = stats, "", time.Time{}
}

// Stopped says that nothing runs at the moment, and why.
func (t *Tail) Stopped(why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stats != nil || t.stopped.IsZero() {
		t.stopped = time.Now()
	}
	t.stats, t.waits = nil, why
}

// Delivered is what the output has accepted since the figures were made.
func (t *Tail) Delivered() (bytes, records int64) {
	return t.deliveredBytes.Load(), t.deliveredRecords.Load()
}

// Underway is what was read and not delivered yet.
func (t *Tail) Underway() (bytes, records int64) { return t.lineBytes.Load(), t.lineRecords.Load() }

// Rewound takes note that what was under way will be read again.
func (t *Tail) Rewound() {
	t.lineBytes.Store(0)
	t.lineRecords.Store(0)
}

func (t *Tail) now() (Stats, string) {
	t.mu.Lock()
	ask, waits, stopped := t.stats, t.waits, t.stopped
	t.mu.Unlock()
	if ask == nil {
		return Stats{LagSince: stopped}, waits // nothing is accepted, however much there is
	}
	return ask(), ""
}

func (t *Tail) notReady() string {
	s, waits := t.now()
	switch {
	case waits != "":
		return waits
	case !s.Ready:
		return "is being looked at for the first time"
	case s.Unread != "":
		return "cannot be read: " + s.Unread
	}
	return ""
}

// Dropped is how many records the output gave up.
func (t *Tail) Dropped() (records int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range t.dropped {
		records += n
	}
	return records
}

// lost is what will never be delivered, by reason.
func (t *Tail) lost() (bytes, records map[string]int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.abandoned), maps.Clone(t.dropped)
}
