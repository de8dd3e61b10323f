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

// Waiter gives an Await for several ends, which share the little more.
func (d *Deadline) Waiter() (await func(done <-chan struct{}) bool) {
	var more func(done <-chan struct{}) bool
	return func(done <-chan struct{}) bool {
		select {
		case <-done:
			return true
		case <-d.over.Done():
		}
		if more == nil {
			more = within(grace)
		}
		return more(done)
	}
}

// within gives an await for several ends, which share the time.
func within(length time.Duration) (await func(done <-chan struct{}) bool) {
	end := time.Now().Add(length)
	return func(done <-chan struct{}) bool {
		select {
		case <-done:
			return true
		case <-time.After(time.Until(end)):
		}
		select {
		case <-done:
			return true
		default:
			return false
		}
	}
}

// Await waits for done, at most to the deadline and a little more.
func (d *Deadline) Await(done <-chan struct{}) bool { return d.Waiter()(done) }

// Do runs f and waits for it as Await does.
func (d *Deadline) Do(f func()) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	return d.Await(done)
}

// Beyond calls f when the deadline is over for so long, unless stop is called before.
func (d *Deadline) Beyond(after time.Duration, f func()) (stop func()) {
	ended, end := context.WithCancel(context.Background())
	forget := context.AfterFunc(d.over, func() {
		select {
		case <-time.After(after):
			f()
		case <-ended.Done():
		}
	})
	return func() {
		forget()
		end()
	}
}
