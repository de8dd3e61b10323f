package checkpoint

import (
	"bytes"
	"fmt"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
)

// An Entry is one position. Keys are not empty and at most 32,000 bytes long,
// the output's name included.
type Entry struct {
	Key   string
	Value []byte
	Seen  time.Time // when it was last registered, touched or committed; set by the ledger
}

// A Ledger holds one output's positions: what is on disk, overlaid with what the
// output has taken but not yet committed.
type Ledger struct {
	store  *Store
	output string
	taken  taken

	mu   sync.Mutex // guards undo
	undo []byte
}

// Ledger returns the ledger of an output, the same one each time.
func (s *Store) Ledger(output string) (*Ledger, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.ledgers[output]; l != nil {
		return l, nil
	}
	l := &Ledger{store: s, output: output, taken: taken{m: make(map[string]*slot)}}
	note := l.noteKey()
	err := s.view(func(b *bolt.Bucket) error {
		rec := b.Get(note)
		if rec == nil {
			return nil
		}
		_, v, err := parseRecord(note, rec)
		if err != nil {
			return &DamagedError{Path: s.path, What: err.Error()}
		}
		l.undo = append([]byte{}, v...)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("positions of output %s: %w", output, err)
	}
	s.ledgers[output] = l
	return l, nil
}

// Noted names the outputs whose last undo note is not empty, running or not.
func (s *Store) Noted() (outputs []string, err error) {
	err = s.view(func(b *bolt.Bucket) error {
		c := b.Cursor()
		for k, rec := c.Seek([]byte{kindNote}); len(k) > 0 && k[0] == kindNote; k, rec = c.Next() {
			_, output, _, err := splitKey(k)
			if err == nil {
				_, rec, err = parseRecord(k, rec)
			}
			if err != nil {
				return &DamagedError{Path: s.path, What: err.Error()}
			}
			if len(rec) > 0 {
				outputs = append(outputs, string(output))
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("looking for undo notes: %w", err)
	}
	return outputs, nil
}

func (l *Ledger) key(dst []byte, key string) []byte {
	return appendKey(dst, kindEntry, l.output, key)
}

func (l *Ledger) noteKey() []byte { return appendKey(nil, kindNote, l.output, "") }

// Load returns all entries whose key has the prefix, in no order. Where the output
// has taken a value that it has not committed yet, that value is returned.
func (l *Ledger) Load(prefix string) ([]Entry, error) {
	// The overlay first: were it read after the disk, a commit in between could
	// hide a value from both.
	overlay := l.taken.with(prefix)
	var entries []Entry
	first := l.key(nil, prefix)
	skip := len(first) - len(prefix)
	err := l.store.view(func(b *bolt.Bucket) error {
		c := b.Cursor()
		for k, rec := c.Seek(first); bytes.HasPrefix(k, first); k, rec = c.Next() {
			seen, v, err := parseRecord(k, rec)
			if err != nil {
				return &DamagedError{Path: l.store.path, What: err.Error()}
			}
			e := Entry{Key: string(k[skip:]), Seen: time.Unix(0, seen)}
			if o, ok := overlay[e.Key]; ok {
				e.Value = o.Value
				delete(overlay, e.Key)
			} else {
				e.Value = bytes.Clone(v)
			}
			entries = append(entries, e)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("loading positions of output %s: %w", l.output, err)
	}
	for _, e := range overlay {
		entries = append(entries, e)
	}
	return entries, nil
}

// Register adds entries and deletes others in one transaction, durable when it
// returns. An entry whose key exists is left as it is. What was taken for a
// deleted key is forgotten; committing that key later makes it again.
func (l *Ledger) Register(put []Entry, del []string) error {
	now := time.Now().UnixNano()
	err := l.store.group.do(func(t *tx) error {
		var k []byte
		for _, key := range del {
			k = l.key(k[:0], key)
			if err := t.del(k); err != nil {
				return err
			}
		}
		for _, e := range put {
			k = l.key(k[:0], e.Key)
			if t.get(k) != nil {
				continue
			}
			if err := t.put(k, appendRecord(nil, k, now, e.Value)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("registering positions of output %s: %w", l.output, err)
	}
	l.taken.forget(del)
	return nil
}

// Touch marks entries as seen now, so that they do not expire, in one transaction.
// Keys that do not exist are left out.
func (l *Ledger) Touch(keys []string) error {
	now := time.Now().UnixNano()
	err := l.store.group.do(func(t *tx) error {
		var k []byte
		for _, key := range keys {
			k = l.key(k[:0], key)
			rec := t.get(k)
			if rec == nil {
				continue
			}
			_, v, err := parseRecord(k, rec)
			if err != nil {
				return &DamagedError{Path: l.store.path, What: err.Error()}
			}
			if err := t.put(k, appendRecord(nil, k, now, v)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("touching positions of output %s: %w", l.output, err)
	}
	return nil
}

// Take notes, in memory only, that the output was handed everything up to value.
// It copies value and allocates nothing once the key is known.
func (l *Ledger) Take(key string, value []byte) { l.taken.set(key, value) }

// Taken reports whether the output was handed more of key than it has committed.
func (l *Ledger) Taken(key string) bool { return l.taken.has(key) }

// Commit stores positions and the output's undo note in one transaction, durable
// when it returns. A nil undo leaves the note as it is. Of two entries with one
// key, the later counts. What was taken is dropped where it is what was committed.
//
// On an error nothing was taken off the overlay, and the same commit may be
// tried again; the store stays usable (a full disk, for one).
func (l *Ledger) Commit(pos []Entry, undo []byte) error {
	now := time.Now().UnixNano()
	err := l.store.group.do(func(t *tx) error {
		var k []byte
		for _, e := range pos {
			k = l.key(k[:0], e.Key)
			if err := t.put(k, appendRecord(nil, k, now, e.Value)); err != nil {
				return err
			}
		}
		if undo == nil {
			return nil
		}
		k = l.noteKey()
		return t.put(k, appendRecord(nil, k, now, undo))
	})
	if err != nil {
		return fmt.Errorf("committing positions of output %s: %w", l.output, err)
	}
	if undo != nil {
		l.mu.Lock()
		l.undo = append([]byte{}, undo...)
		l.mu.Unlock()
	}
	l.taken.settle(pos)
	return nil
}

// Undo returns the note of the last commit that had one, or nil. The caller may
// keep it, not change it.
func (l *Ledger) Undo() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.undo
}

// Reset forgets what was taken and not committed: the output starts anew.
func (l *Ledger) Reset() { l.taken.reset() }
