package checkpoint

import (
	"bytes"
	"strings"
	"sync"
	"time"
)

// maxSpare bounds the value buffers kept for reuse.
const maxSpare = 256

// taken holds what an output was handed and has not committed. It reuses the
// memory of values, since it is written for every batch.
type taken struct {
	mu    sync.Mutex
	m     map[string]*slot
	spare []*slot
}

type slot struct{ value []byte }

func (t *taken) set(key string, value []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.m[key]
	if s == nil {
		s = t.slot()
		t.m[key] = s
	}
	s.value = append(s.value[:0], value...)
}

func (t *taken) slot() *slot {
	n := len(t.spare)
	if n == 0 {
		return new(slot)
	}
	s := t.spare[n-1]
	t.spare = t.spare[:n-1]
	return s
}

func (t *taken) has(key string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.m[key] != nil
}

// settle drops what was committed. What was taken since the commit stays.
func (t *taken) settle(committed []Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range committed {
		if s := t.m[e.Key]; s != nil && bytes.Equal(s.value, e.Value) {
			t.drop(e.Key, s)
		}
	}
}

func (t *taken) forget(keys []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range keys {
		if s := t.m[k]; s != nil {
			t.drop(k, s)
		}
	}
}

func (t *taken) drop(key string, s *slot) {
	delete(t.m, key)
	if len(t.spare) < maxSpare {
		t.spare = append(t.spare, s)
	}
}

func (t *taken) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, s := range t.m {
		t.drop(k, s)
	}
}

// with returns copies of what was taken for keys with the prefix, seen now.
func (t *taken) with(prefix string) map[string]Entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	var m map[string]Entry
	for k, s := range t.m {
		if !strings.HasPrefix(k, prefix) {
			continue
		}
		if m == nil {
			m = make(map[string]Entry)
		}
		m[k] = Entry{Key: k, Value: bytes.Clone(s.value), Seen: time.Now()}
	}
	return m
}
