package output

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/record"
	"github.com/logcatchsys/logcatchsys/logconfig"
)

const (
	// syslogWindow is how many bytes are taken before they are made durable: they are kept
	// in memory until then.
	syslogWindow = 16 << 20

	// syslogGrace is how long a connection must go on after all was acknowledged: a
	// receiver that goes away just then has not read it, and says so by that.
	syslogGrace = 50 * time.Millisecond

	// syslogProbation is how old a connection must be before it counts. A receiver that
	// does not want us, for our certificate or our address, takes what is sent
	// and closes.
	syslogProbation = 500 * time.Millisecond

	syslogSlice = 64 << 10 // bytes written at once
)

// A syslogStream sends messages over TCP, with TLS or without. No receiver says what it
// has taken. So Flush waits until the kernel at the other end has acknowledged every
// byte; and when a connection breaks, all that was not flushed is sent again on a new
// one, and before it what was flushed last: the receiver may not have read it.
//
// A goroutine of its own connects and sends, also when nothing more is written: what was
// in the receiver's socket when it went away is sent again as soon as it is back.
type syslogStream struct {
	syslogEncoder
	syslogSieve
	to    *syslogTarget
	name  string
	log   *slog.Logger
	retry logconfig.Retry // the pauses between tries to connect while nobody waits

	wake  chan struct{} // holds one: there is something to send, or somebody waits
	stop  context.CancelFunc
	ended chan struct{}

	mu      sync.Mutex
	backlog syslogBacklog
	marks   []syslogMark // of link, oldest first
	link    *syslogLink  // nil: there is none
	reached int64        // flushed, when a connection broke last
	haste   int          // how many broke since then
	told    bool         // that it is sent again; until a connection stands
	err     error        // of the last try
	errs    int          // how often that was set
}

func newSyslogStream(spec Spec, env Env, to *syslogTarget, e syslogEncoder, sieve syslogSieve) *syslogStream {
	ctx, stop := context.WithCancel(context.Background())
	s := &syslogStream{
		syslogEncoder: e, syslogSieve: sieve, to: to, name: spec.Name, log: env.Log,
		retry: spec.Retry,
		wake:  make(chan struct{}, 1), stop: stop, ended: make(chan struct{}),
	}
	go s.run(ctx)
	return s
}

// Syncs says that Flush waits: for the network.
func (s *syslogStream) Syncs() bool { return true }

// Write takes b, once there is room for it.
func (s *syslogStream) Write(ctx context.Context, b *record.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.look().open >= syslogWindow {
		if err := s.arrive(ctx, syslogWindow-1); err != nil {
			return err
		}
	}
	// Now that b is taken for sure: a Flush commits the letters that were written.
	if err := s.sift(ctx, b); err != nil {
		return err
	}
	s.mu.Lock()
	s.runs(b, syslogChunkSize, s.backlog.add)
	s.mu.Unlock()
	s.sifted()
	s.rouse()
	return nil
}

// Flush waits until all that was taken has arrived.
func (s *syslogStream) Flush(ctx context.Context) ([]byte, error) {
	if err := s.arrive(ctx, 0); err != nil {
		return nil, err
	}
	return s.dead.Flush(ctx)
}

// Close gives up what was not flushed.
func (s *syslogStream) Close() error {
	s.stop()
	s.mu.Lock()
	if s.link != nil && s.backlog.sent < s.backlog.end {
		s.link.fail(context.Canceled) // a write may hang
	}
	s.mu.Unlock()
	<-s.ended
	return s.dead.Close()
}

// rouse has run look whether there is something to do.
func (s *syslogStream) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// arrive waits until all but so many bytes have arrived, as far as that can be known. It
// ends with an error when a connection fails, and when nothing has moved for the time-out.
func (s *syslogStream) arrive(ctx context.Context, but int64) error {
	s.rouse()
	first := s.look()
	last, moved := first, time.Now()
	for pause, now := 20*time.Microsecond, first; now.open > but; pause = min(2*pause, 5*time.Millisecond) {
		if err := sleep(ctx, pause); err != nil {
			return err
		}
		now = s.look()
		if now.link != last.link || now.left < last.left || now.left == 0 {
			last, moved = now, time.Now()
		}
		if now.errs != first.errs {
			return now.err
		}
		limit := s.to.timeout
		if now.link == nil {
			limit += time.Second // to connect has that time-out too, and knows why
		}
		if time.Since(moved) > limit {
			return s.stalled(now)
		}
	}
	return nil
}

// A syslogState is how far the stream is.
type syslogState struct {
	link *syslogLink
	open int64 // bytes that were not flushed
	left int64 // bytes that are not acknowledged
	err  error
	errs int
}

// A syslogMark is what was acknowledged at a time.
type syslogMark struct {
	to int64
	at time.Time
}

// look sees what is acknowledged. What was so a while ago has arrived, if the connection
// still stands.
func (s *syslogStream) look() syslogState {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, to := &s.backlog, s.backlog.flushed
	if l := s.link; l != nil {
		queued, whole := unacknowledged(l.raw)
		to = b.sent - int64(queued)
		if whole && !l.isBroken() {
			s.count(to, time.Now())
		}
	}
	return syslogState{link: s.link, open: b.end - b.flushed, left: b.end - to, err: s.err, errs: s.errs}
}

// count notes that all up to a position is acknowledged, and flushes what was so before.
func (s *syslogStream) count(to int64, now time.Time) {
	n := 0
	for n < len(s.marks) && now.Sub(s.marks[n].at) >= syslogGrace && now.Sub(s.link.born) >= syslogProbation {
		n++
	}
	if n > 0 {
		s.backlog.flush(s.marks[n-1].to, now)
		s.backlog.trim(now, 0)
		s.marks = slices.Delete(s.marks, 0, n)
	}
	last := syslogMark{to: s.backlog.flushed}
	if n := len(s.marks); n > 0 {
		last = s.marks[n-1]
	}
	if to > last.to && (to == s.backlog.end || now.Sub(last.at) >= syslogGrace/8) {
		s.marks = append(s.marks, syslogMark{to, now})
	}
}

// stalled says that nothing moves. The connection stays if the other end's kernel
// answers: all of it sent again would not help a receiver that is slow.
func (s *syslogStream) stalled(now syslogState) error {
	if now.link == nil {
		return fmt.Errorf("%s: no connection within %s", s.to.url, s.to.timeout)
	}
	err := fmt.Errorf("the receiver has taken nothing for %s", s.to.timeout)
	if silent(now.link.raw) {
		now.link.fail(err)
	}
	return s.to.failed(err)
}

// sleep waits for d, or gives the error of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run connects and sends while there is something to send.
func (s *syslogStream) run(ctx context.Context) {
	defer close(s.ended)
	for pause := s.retry.Initial; s.wanted(ctx); pause = min(2*pause, s.retry.Max) {
		lived, err := s.serve(ctx)
		s.mu.Lock()
		s.err, s.errs = err, s.errs+1
		s.mu.Unlock()
		if lived > syslogProbation {
			pause = s.retry.Initial
		}
		timer := time.NewTimer(max(pause, 10*time.Millisecond))
		select {
		case <-timer.C:
		case <-s.wake: // somebody waits, and paces the tries
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// wanted waits until there is something to send. It is false when ctx has ended.
func (s *syslogStream) wanted(ctx context.Context) bool {
	for ctx.Err() == nil {
		s.mu.Lock()
		empty := s.backlog.empty()
		s.mu.Unlock()
		if !empty {
			return true
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
		}
	}
	return false
}

// serve connects and sends until the connection breaks, and says how long it lived.
func (s *syslogStream) serve(ctx context.Context) (lived time.Duration, err error) {
	conn, raw, err := s.to.connect(ctx)
	if err != nil {
		return 0, err
	}
	l := newSyslogLink(conn, raw)
	s.attach(l)
	s.feed(ctx, l)
	s.detach(l)
	return l.lived(), s.to.ended(l)
}

// attach has all of the backlog sent on l.
func (s *syslogStream) attach(l *syslogLink) {
	s.mu.Lock()
	s.link, s.marks = l, s.marks[:0]
	s.backlog.rewind(time.Now())
	again := s.backlog.highest - s.backlog.start
	say := again > 0 && !s.told
	s.told = s.told || say
	s.mu.Unlock()
	if say {
		s.log.Info(fmt.Sprintf("output %s: connected again; what was sent last is sent again, and may be there twice", s.name),
			"address", s.to.url, "bytes", again)
	}
}

// feed sends until l breaks or ctx ends.
func (s *syslogStream) feed(ctx context.Context, l *syslogLink) {
	for !l.isBroken() && ctx.Err() == nil {
		s.mu.Lock()
		data := s.backlog.next()
		s.mu.Unlock()
		if len(data) == 0 {
			select {
			case <-s.wake:
			case <-l.broken:
			case <-ctx.Done():
			}
			continue
		}
		n, err := l.conn.Write(data[:min(len(data), syslogSlice)])
		s.mu.Lock()
		s.backlog.advance(n)
		s.mu.Unlock()
		if err != nil {
			l.fail(err)
		}
	}
}

// detach ends l, and lets go of what need not be sent again for it. Where connections
// break again and again before something new has arrived, less and less is sent again,
// or nothing new ever would.
func (s *syslogStream) detach(l *syslogLink) {
	l.close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.link = nil
	s.told = s.told && l.lived() <= syslogProbation
	if s.backlog.flushed > s.reached {
		s.haste = 0
	} else if l.lived() > syslogProbation {
		s.haste = min(s.haste+1, 40)
	}
	s.reached = s.backlog.flushed
	s.backlog.trim(l.at, s.haste)
}
