package daemon

import (
	"context"
	"sync/atomic"
	"time"
)

// grace is how long the exit waits for what does not end at its deadline, such as a
// write that the kernel does not let go of.
const grace = 500 * time.Millisecond

// A Deadline is when a stop has to be over: some time after it was asked for. Before
// that there is none.
type Deadline struct {
	length atomic.Int64
	over   context.Context
}

// NewDeadline makes one; the end of asked is what asks for the stop.
func NewDeadline(asked context.Context) *Deadline {
	over, end := context.WithCancel(context.Background())
	d := &Deadline{over: over}
	context.AfterFunc(asked, func() { time.AfterFunc(d.Length(), end) })
	return d
}

// Set says how long a stop may take that is asked for from now on.
func (d *Deadline) Set(length time.Duration) { d.length.Store(int64(length)) }

// Length is what Set said.
func (d *Deadline) Length() time.Duration { return time.Duration(d.length.Load()) }

// Await waits for done, at most to the deadline and a little more.
func (d *Deadline) Await(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	case <-d.over.Done():
	}
	select {
	case <-done:
		return true
	case <-time.After(grace):
		return false
	}
}

// Do runs f and waits for it as Await does.
func (d *Deadline) Do(f func()) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	return d.Await(done)
}
