package daemon

import (
	"bytes"
	"io"
	"sync"
	"time"
)

// What of the own log waits for a reader that stands still.
const (
	queuedLines = 4096
	queuedBytes = 1 << 20
)

// A logQueue writes lines in their order on a goroutine of its own, so that nobody who
// logs waits for the reader. That goroutine lives while there is something to write.
// When the queue is full, what comes is dropped until all before it is written, and a
// line says how much that was.
type logQueue struct {
	w    io.Writer
	note func(dropped int) []byte

	mu      sync.Mutex
	lines   [][]byte
	bytes   int
	dropped int
	idle    chan struct{} // closed when all is written; nil: nothing is to be written
}

// Write takes one line. It does not block, and never fails.
func (q *logQueue) Write(line []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	full := len(q.lines) > 0 && (len(q.lines) >= queuedLines || q.bytes+len(line) > queuedBytes)
	if full || q.dropped > 0 {
		q.dropped++
		return len(line), nil
	}
	q.lines = append(q.lines, bytes.Clone(line))
	q.bytes += len(line)
	if q.idle == nil {
		q.idle = make(chan struct{})
		go q.drain()
	}
	return len(line), nil
}

func (q *logQueue) drain() {
	for line := q.next(); line != nil; line = q.next() {
		_, _ = q.w.Write(line) // the log is worth less than the lines that are delivered
	}
}

// next is the line to be written now; nil ends the writing.
func (q *logQueue) next() (line []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case len(q.lines) > 0:
		line = q.lines[0]
		q.lines = q.lines[1:]
		q.bytes -= len(line)
	case q.dropped > 0:
		line = q.note(q.dropped)
		q.dropped = 0
	default:
		close(q.idle)
		q.lines, q.idle = nil, nil
	}
	return line
}

// flush waits until all is written, at most for so long.
func (q *logQueue) flush(most time.Duration) {
	q.mu.Lock()
	idle := q.idle
	q.mu.Unlock()
	if idle == nil {
		return
	}
	select {
	case <-idle:
	case <-time.After(most):
	}
}
