package daemon

import (
	"time"

	"github.com/logcatchsys/logcatchsys/internal/status"
	"github.com/logcatchsys/logcatchsys/logconfig"
)

const (
	// moment is how long a reload waits for the tails that it stops: nearly all end
	// within it, and then nothing new starts beside them.
	moment = 250 * time.Millisecond
	// late is who has not ended by then: on a file system that does not answer, or
	// behind a folder that takes long to list.
	late = 2 * time.Second
)

// NotEnded is why a tail does not run whose predecessor is among the Unended.
const NotEnded = "was stopped and has not ended yet; it starts again when it has"

// Unended are the tails that were stopped and have not ended. On a file system that
// does not answer one may never end: nobody waits for it but its successor, and what
// replaces the output that it may still write into. They are for one goroutine.
type Unended struct {
	since map[status.Key]time.Time // when it was stopped
	poke  func()
}

// NewUnended has none. poke is called, by any goroutine, when one is late: then
// Lanes.SayWaiting is due.
func NewUnended(poke func()) *Unended { return &Unended{map[status.Key]time.Time{}, poke} }

// Moment is the await of a reload for the tails that it stops, which share a moment.
func (u *Unended) Moment() (await func(done <-chan struct{}) bool) { return within(moment) }

// Add takes note that the tail was stopped.
func (u *Unended) Add(k status.Key) {
	if !u.Has(k) {
		u.since[k] = time.Now()
	}
}

// Tarries takes note that the tail has not ended in the time it was given.
func (u *Unended) Tarries(k status.Key) { time.AfterFunc(time.Until(u.since[k].Add(late)), u.poke) }

// Has reports whether the tail was stopped and has not ended.
func (u *Unended) Has(k status.Key) bool {
	_, ok := u.since[k]
	return ok
}

// Ended takes note that the tail has ended.
func (u *Unended) Ended(k status.Key) { delete(u.since, k) }

// writesTo reports whether one of them may still write into the output of that name,
// and register positions for it.
func (u *Unended) writesTo(output string) bool {
	for k := range u.since {
		if k.Output == output {
			return true
		}
	}
	return false
}

// SayWaiting logs what of the plan waits for tails that are late, in one line, and once:
// it is said again when more waits.
func (s *Lanes) SayWaiting(p Plan) {
	stopped, waiting := map[string]bool{}, map[string]bool{}
	for k, since := range s.unended.since {
		if time.Since(since) < late {
			continue
		}
		if _, ok := p.Tails[k]; ok {
			stopped[longTitle(k)], waiting["source "+longTitle(k)] = true, true
		}
		for name, spec := range p.Outputs {
			if s.heldBy(p, spec, k) {
				stopped[longTitle(k)], waiting["output "+name] = true, true
			}
		}
	}
	news := false
	for what := range waiting {
		news = news || !s.said[what]
	}
	s.said = waiting
	if news {
		s.env.Log.Warn("sources that were stopped have not ended, and what shall run waits for that; all else goes on",
			"stopped", listOf(stopped), "waiting", listOf(waiting), "likely", "a file system that does not answer")
	}
}

// heldBy reports whether the output has to wait for a tail that has not ended.
func (s *Lanes) heldBy(p Plan, spec logconfig.Output, k status.Key) bool {
	if s.At(p, spec.Name) != nil || s.isFenced(spec) {
		return false
	}
	l := s.all[k.Output]
	return k.Output == spec.Name || l != nil && s.At(p, k.Output) != l && l.SharesWith(spec)
}

// heldUp names the tails that have not ended and keep an output from being opened.
func (s *Lanes) heldUp(p Plan, spec logconfig.Output) string {
	held := map[string]bool{}
	for k := range s.unended.since {
		if s.heldBy(p, spec, k) {
			held[longTitle(k)] = true
		}
	}
	return listOf(held)
}
