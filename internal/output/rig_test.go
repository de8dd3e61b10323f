package output

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/record"
)

// A scripted output: what was written and when, with errors on demand.
type scripted struct {
	mu      sync.Mutex
	written strings.Builder
	events  strings.Builder // w, f, c
	writes  []time.Time
	onWrite func(ctx context.Context, b *record.Batch) error
	onFlush func() error
	syncs   bool
}

func (s *scripted) Write(ctx context.Context, b *record.Batch) error {
	s.mu.Lock()
	s.events.WriteByte('w')
	s.writes = append(s.writes, time.Now())
	s.mu.Unlock()
	if s.onWrite != nil {
		if err := s.onWrite(ctx, b); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.written.Write(b.Out)
	return nil
}

func (s *scripted) Flush(context.Context) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events.WriteByte('f')
	if s.onFlush != nil {
		if err := s.onFlush(); err != nil {
			return nil, err
		}
	}
	return []byte(s.written.String()), nil
}

func (s *scripted) Syncs() bool { return s.syncs }

func (s *scripted) Close() error { s.events.WriteByte('c'); return nil }

func (s *scripted) times() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.writes)
}

func (s *scripted) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.written.String()
}

// A rig has a pump between a scripted output and a ledger.
type rig struct {
	*Pump
	out    *scripted
	ledger *memLedger
	log    func() string
	stop   context.CancelFunc
	kill   context.CancelCauseFunc
	ended  chan error
	retry  atomic.Int32
}

func newRig(t *testing.T) *rig {
	f, err := record.NewFormat("raw", "h")
	must(t, err)
	r := &rig{out: &scripted{}, ledger: &memLedger{}, ended: make(chan error, 1)}
	log, text := logged()
	r.log = text
	r.Pump = NewPump(PumpConfig{Name: "x", Output: r.out, Ledger: r.ledger, Encoder: f, Log: log,
		Hooks: Hooks{Retry: func() { r.retry.Add(1) }}})
	return r
}

func (r *rig) run() {
	ctx, stop := context.WithCancel(context.Background())
	drain, kill := context.WithCancelCause(context.Background())
	r.stop, r.kill = stop, kill
	go func() { r.ended <- r.Run(ctx, drain) }()
}

// give puts text as one batch with its own text as mark.
func (r *rig) give(key, text string) *atomic.Int64 {
	b := <-r.Free()
	b.Source, b.Key = key, key
	b.Data = append(b.Data, text...)
	b.Mark = append(b.Mark, text...)
	b.Count = 1
	b.Accepted = new(atomic.Int64)
	accepted := b.Accepted
	r.Put(b)
	return accepted
}

func (r *rig) end(t *testing.T) error {
	r.stop()
	defer r.kill(nil)
	return <-r.ended
}
