package checkpoint

import (
	"bytes"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"
)

// expireStep is how many entries one transaction of Expire looks at, at most:
// some milliseconds, which is what a commit may have to wait for it.
const expireStep = 1024

// A candidate is an entry that was old when it was looked at.
type candidate struct {
	output, key, value []byte
	k, rec             []byte
}

// Expire deletes the entries last seen before a time for which alive reports
// false, in all outputs, and returns how many. Entries that an output has taken
// are kept, and so are those that change meanwhile. alive is called outside of
// transactions and must not keep value.
func (s *Store) Expire(before time.Time, alive func(output, key string, value []byte) bool) (int, error) {
	expired := 0
	for from := []byte{kindEntry}; from != nil; {
		old, next, err := s.oldEntries(from, before)
		if err != nil {
			return expired, fmt.Errorf("expiring positions: %w", err)
		}
		dead := old[:0]
		for _, c := range old {
			if !s.isTaken(c) && !alive(string(c.output), string(c.key), c.value) {
				dead = append(dead, c)
			}
		}
		n, err := s.deleteUnchanged(dead)
		expired += n
		if err != nil {
			return expired, fmt.Errorf("expiring positions: %w", err)
		}
		from = next
	}
	return expired, nil
}

// oldEntries looks at some entries beginning with key from, and returns the old
// ones and the key to go on with, nil at the end.
func (s *Store) oldEntries(from []byte, before time.Time) (old []candidate, next []byte, err error) {
	err = s.view(func(b *bolt.Bucket) error {
		c := b.Cursor()
		n := 0
		for k, rec := c.Seek(from); len(k) > 0 && k[0] == kindEntry; k, rec = c.Next() {
			if n++; n > expireStep {
				next = bytes.Clone(k)
				return nil
			}
			seen, _, err := parseRecord(k, rec)
			if err == nil && time.Unix(0, seen).Before(before) {
				err = appendCandidate(&old, k, rec)
			}
			if err != nil {
				return &DamagedError{Path: s.path, What: err.Error()}
			}
		}
		return nil
	})
	return old, next, err
}

func appendCandidate(old *[]candidate, k, rec []byte) error {
	k, rec = bytes.Clone(k), bytes.Clone(rec)
	_, output, key, err := splitKey(k)
	*old = append(*old, candidate{output, key, rec[recordHeader:], k, rec})
	return err
}

func (s *Store) isTaken(c candidate) bool {
	s.mu.Lock()
	l := s.ledgers[string(c.output)]
	s.mu.Unlock()
	return l != nil && l.taken.has(string(c.key))
}

// deleteUnchanged deletes the candidates that are still what they were.
func (s *Store) deleteUnchanged(dead []candidate) (n int, err error) {
	if len(dead) == 0 {
		return 0, nil
	}
	err = s.group.do(func(t *tx) error {
		n = 0
		for _, c := range dead {
			if !bytes.Equal(t.get(c.k), c.rec) {
				continue
			}
			if err := t.del(c.k); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}
