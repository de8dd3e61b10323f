package logtailf

import (
	"container/list"
	"errors"
	"os"
	"sync"

	"github.com/hpcloud/tail"
)

// errNoHandle says that every descriptor is held by a file with lines unread.
var errNoHandle = errors.New("no file descriptor left: every open file has lines to read")

// Handles bounds the descriptors that all followers of the process hold
// together. A file that was read and accepted to its end rests: it stays open
// while there is room and is closed, the longest resting first, when another
// file needs the descriptor. Its follower opens it again when it changes.
type Handles struct {
	mu    sync.Mutex
	limit int // of open files, but for those that are being read at this moment
	most  int // of open files in all
	open  int
	rest  list.List // of *handle, the longest resting first
}

// NewHandles bounds the open files to limit; 0 takes the process's own limit,
// less what the rest of the process needs.
func NewHandles(limit int) *Handles {
	if limit == 0 {
		all := descriptorLimit()
		limit = all - min(128, all/2)
	}
	limit = max(limit, 1)
	return &Handles{limit: limit, most: limit + max(4, min(limit/8, 64))}
}

// Open is the number of descriptors held now.
func (p *Handles) Open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open
}

// A handle is an open file on loan from Handles.
type handle struct {
	pool    *Handles
	file    *os.File      // nil once closed
	resting *list.Element // in pool.rest
}

// openFile opens path, closing a resting file if there is no room.
func (p *Handles) openFile(path string) (*handle, error) {
	p.mu.Lock()
	if p.open >= p.limit && !p.closeOldest() && p.open >= p.most {
		p.mu.Unlock()
		return nil, errNoHandle
	}
	p.open++
	p.mu.Unlock()
	f, err := tail.OpenFile(path)
	if err != nil {
		p.mu.Lock()
		p.open--
		p.mu.Unlock()
		return nil, err
	}
	return &handle{pool: p, file: f}, nil
}

func (p *Handles) closeOldest() bool {
	e := p.rest.Front()
	if e == nil {
		return false
	}
	e.Value.(*handle).closeLocked()
	return true
}

// use takes the handle out of rest; false: it was closed meanwhile.
func (h *handle) use() bool {
	h.pool.mu.Lock()
	defer h.pool.mu.Unlock()
	if h.resting != nil {
		h.pool.rest.Remove(h.resting)
		h.resting = nil
	}
	return h.file != nil
}

// lay lets the pool close the handle whenever it needs the descriptor. The
// caller must call use before it touches the file again.
func (h *handle) lay() {
	h.pool.mu.Lock()
	defer h.pool.mu.Unlock()
	if h.pool.open > h.pool.limit {
		h.closeLocked()
	} else if h.file != nil && h.resting == nil {
		h.resting = h.pool.rest.PushBack(h)
	}
}

// close gives the descriptor back.
func (h *handle) close() {
	h.pool.mu.Lock()
	defer h.pool.mu.Unlock()
	h.closeLocked()
}

func (h *handle) closeLocked() {
	if h.resting != nil {
		h.pool.rest.Remove(h.resting)
		h.resting = nil
	}
	if h.file != nil {
		h.file.Close() // opened for reading: there is nothing to fail
		h.file = nil
		h.pool.open--
	}
}
