package checkpoint

import (
	"errors"
	"fmt"
	"sync"

	bolt "go.etcd.io/bbolt"
)

// A group turns changes from many goroutines into few transactions: what comes in
// while one is being written goes into the next, together. A lone change never
// waits. (bbolt's own Batch makes each wait up to 10 ms for company.)
type group struct {
	transact func([]*change) // writes one transaction and sets each change's err

	leader chan struct{} // held by the goroutine that writes

	mu      sync.Mutex // guards waiting
	waiting []*change
}

// A change is a function that alters the store, and what came of it. It may be
// run more than once.
type change struct {
	fn   func(*tx) error
	err  error
	done chan struct{} // closed once err is set
}

func (g *group) init(transact func([]*change)) {
	g.transact = transact
	g.leader = make(chan struct{}, 1)
}

// do returns once fn's changes are durable, or could not be made.
func (g *group) do(fn func(*tx) error) error {
	c := &change{fn: fn, done: make(chan struct{})}
	g.mu.Lock()
	g.waiting = append(g.waiting, c)
	g.mu.Unlock()
	select {
	case <-c.done:
		return c.err
	case g.leader <- struct{}{}:
	}
	g.lead()
	<-g.leader
	<-c.done
	return c.err
}

// lead writes all that waits. The change of the caller may be done already.
func (g *group) lead() {
	g.mu.Lock()
	all := g.waiting
	g.waiting = nil
	g.mu.Unlock()
	if len(all) == 0 {
		return
	}
	g.transact(all)
	for _, c := range all {
		close(c.done)
	}
}

// A tx is one transaction under way. It keeps the total up to date.
type tx struct {
	b       *bolt.Bucket
	total   total
	changed bool
}

// get returns the record of key, or nil. It is valid until the next change.
func (t *tx) get(key []byte) []byte { return t.b.Get(key) }

// put stores rec, which must stay as it is until the transaction is done; key may
// be reused.
func (t *tx) put(key, rec []byte) error {
	old := t.get(key)
	if old != nil {
		t.total.remove(old)
	}
	if err := t.b.Put(key, rec); err != nil {
		return fmt.Errorf("storing key %.200q: %w", key, err)
	}
	t.total.add(rec)
	t.changed = true
	return nil
}

// del removes the record of key, if there is one.
func (t *tx) del(key []byte) error {
	old := t.get(key)
	if old == nil {
		return nil
	}
	t.total.remove(old)
	if err := t.b.Delete(key); err != nil {
		return fmt.Errorf("deleting key %.200q: %w", key, err)
	}
	t.changed = true
	return nil
}

// errUnchanged rolls back a transaction that has nothing to write.
var errUnchanged = errors.New("nothing changed")

// transact makes all changes in one transaction. If one of them is impossible
// (a key too long, say), it must not take the others with it: each goes alone.
func (s *Store) transact(all []*change) {
	refused, err := s.update(all)
	if refused && len(all) > 1 {
		for _, c := range all {
			_, c.err = s.update([]*change{c})
		}
		return
	}
	for _, c := range all {
		c.err = err
	}
}

// update reports, besides the error, whether a change's own function gave it.
func (s *Store) update(all []*change) (refused bool, err error) {
	err = s.guard(func() error {
		return s.db.Update(func(btx *bolt.Tx) error {
			b := btx.Bucket(bucketName)
			sum, _, err := parseTotal(b.Get(totalKey))
			if err != nil {
				return &DamagedError{Path: s.path, What: err.Error()}
			}
			t := &tx{b: b, total: sum}
			for _, c := range all {
				if err := c.fn(t); err != nil {
					refused = true
					return err
				}
			}
			if !t.changed {
				return errUnchanged
			}
			return b.Put(totalKey, t.total.record(btx.ID()))
		})
	})
	if errors.Is(err, errUnchanged) {
		return false, nil
	}
	return refused, err
}
