package daemon

import (
	"errors"
	"fmt"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/output"
	"github.com/logcatchsys/logcatchsys/internal/status"
	"github.com/logcatchsys/logcatchsys/logconfig"
)

// Lanes are the outputs of the process, those that are ending among them. They are
// for one goroutine.
type Lanes struct {
	env      LaneEnv
	metrics  *status.Metrics
	deadline *Deadline
	unended  *Unended
	poke     func()
	all      map[string]*Lane
	pauses   Pauses[string]
	fenced   map[string]*Lane // ended: another process writes in their name
	said     map[string]bool  // what waits for tails that have not ended
}

// NewLanes has no outputs yet. poke is called, by any goroutine, when one has ended
// or a pause is over: then Reap and Start are due. Once deadline is over, what is not
// written is given up. No output ends, and none is opened in its name, while one of
// the unended may write into it.
func NewLanes(env LaneEnv, m *status.Metrics, deadline *Deadline, unended *Unended, poke func()) *Lanes {
	return &Lanes{
		env: env, metrics: m, deadline: deadline, unended: unended, poke: poke,
		all: map[string]*Lane{}, pauses: Pauses[string]{}, fenced: map[string]*Lane{},
	}
}

// At is the output of that name if it is at work as the plan wants it, else nil.
func (s *Lanes) At(p Plan, name string) *Lane {
	want, ok := p.Outputs[name]
	if l := s.all[name]; ok && l != nil && !l.Stopping() && l.Spec.Equal(want) {
		return l
	}
	return nil
}

// Idle says why no follower can run for the output of that name; "": one can.
func (s *Lanes) Idle(p Plan, name string) string {
	switch l := s.At(p, name); {
	case s.isFenced(p.Outputs[name]):
		return "its output was taken over by another process; it starts again when its configuration changes, or when logcatchsys is started again"
	case l == nil:
		if held := s.heldUp(p, p.Outputs[name]); held != "" {
			return "its output waits for what was stopped and has not ended yet: " + held
		}
		return "its output is not open"
	case !l.Ready():
		return "waits for its output to tell which positions it holds"
	}
	return ""
}

// Fenced is the name of an output that another process has taken over; "": none.
func (s *Lanes) Fenced() (name string) {
	for name = range s.fenced {
		return name
	}
	return ""
}

func (s *Lanes) isFenced(spec logconfig.Output) bool {
	l := s.fenced[spec.Name]
	return l != nil && l.Spec.Equal(spec)
}

// OpenNew opens the outputs of a plan that are new and write where no other one does;
// the rest has to wait until those before have ended. They are for Take or Discard.
// On an error none is open.
func (s *Lanes) OpenNew(p Plan) (opened []*Lane, err error) {
	for name, spec := range p.Outputs {
		if s.inTheWay(spec, func(*Lane) bool { return true }) || s.isFenced(spec) {
			continue
		}
		l, err := s.open(p, spec)
		if err != nil {
			s.metrics.RemoveOutput(name)
			return nil, errors.Join(err, s.Discard(opened))
		}
		opened = append(opened, l)
	}
	return opened, nil
}

// Discard closes outputs that OpenNew opened.
func (s *Lanes) Discard(opened []*Lane) (err error) {
	for _, l := range opened {
		err = errors.Join(err, l.Discard())
		s.metrics.RemoveOutput(l.Spec.Name)
	}
	return err
}

// Take puts outputs to work that OpenNew opened for this plan. All that wait for
// their next start may start at once: the new plan may have mended what failed.
func (s *Lanes) Take(p Plan, opened []*Lane) {
	clear(s.pauses)
	for name, l := range s.fenced {
		want, again := p.Outputs[name]
		if !again {
			s.metrics.RemoveOutput(name)
		}
		if !again || !l.Spec.Equal(want) {
			delete(s.fenced, name)
		}
	}
	for _, l := range opened {
		s.start(p, l)
	}
}

// inTheWay reports whether there is a lane of that name, or followers of one, or one of
// those that has to end before spec is opened. A follower that has not ended could
// take lines for a lane that has: they would count as delivered.
func (s *Lanes) inTheWay(spec logconfig.Output, those func(*Lane) bool) bool {
	if s.unended.writesTo(spec.Name) {
		return true
	}
	for name, l := range s.all {
		if name == spec.Name || those(l) && l.SharesWith(spec) {
			return true
		}
	}
	return false
}

// open opens an output of p. One that writes files finds them without what outputs that
// are gone did not commit.
func (s *Lanes) open(p Plan, spec logconfig.Output) (*Lane, error) {
	if output.HasNote(spec) {
		err := s.env.settle(func(name string) bool { return s.all[name] != nil || output.HasNote(p.Outputs[name]) })
		if err != nil {
			return nil, fmt.Errorf("output %s: %w", spec.Name, err)
		}
	}
	return s.env.Open(spec, s.metrics.Output(spec.Name))
}

func (s *Lanes) start(p Plan, l *Lane) {
	for k := range p.Tails {
		if k.Output == l.Spec.Name {
			s.metrics.Tail(k).Rewound() // what the lane before did not deliver is read again
		}
	}
	s.all[l.Spec.Name] = l
	l.Start(s.deadline.over, s.poke)
}

// Start opens the outputs that shall run and do not. Those that failed are named:
// they are opened again after a pause.
func (s *Lanes) Start(p Plan) (failed []string) {
	unwanted := func(l *Lane) bool { return s.At(p, l.Spec.Name) != l }
	for name, spec := range p.Outputs {
		if s.inTheWay(spec, unwanted) || !s.pauses.Over(name) || s.isFenced(spec) {
			continue
		}
		l, err := s.open(p, spec)
		if err != nil {
			s.failed(name, 0, err)
			failed = append(failed, name)
			continue
		}
		s.start(p, l)
	}
	return failed
}

// Stop ends the outputs that shall not run, or not as they do, once their tails have
// ended. It does not wait: an output that is down must not hold up the others.
func (s *Lanes) Stop(p Plan) {
	for name, l := range s.all {
		if !l.Stopping() && s.At(p, name) == nil && !s.unended.writesTo(name) {
			l.Replace()
			l.GiveUpAfter(s.deadline.Length())
		}
	}
}

// Reap takes note of the outputs that have ended. Those that failed are named. The
// error (*output.GoneError within) is one that no new start can mend.
func (s *Lanes) Reap(p Plan) (failed []string, err error) {
	for name, l := range s.all {
		select {
		case <-l.Ended():
		default:
			continue
		}
		delete(s.all, name)
		_, again := p.Outputs[name]
		err := l.Err()
		gone := (*output.GoneError)(nil)
		switch {
		case errors.As(err, new(*output.FencedError)):
			s.fenced[name] = l
			s.metrics.Output(name).Works(false)
			failed = append(failed, name)
			s.env.Log.Error("an output was taken over by another process; it stops here, the others run on",
				"output", name, "error", err)
		case errors.As(err, &gone):
			return failed, fmt.Errorf("the reader of %s has gone: %w", gone.Output, gone.Err)
		case !l.Stopping():
			s.failed(name, time.Since(l.Started), err)
			failed = append(failed, name)
		case err != nil && again:
			s.env.Log.Warn("an output was stopped before everything was delivered; its sources go on from their positions",
				"output", name, "error", err)
		}
		if !again {
			s.metrics.RemoveOutput(name)
		}
	}
	return failed, nil
}

// failed has an output opened again after a pause, and its sources with it.
func (s *Lanes) failed(name string, ran time.Duration, err error) {
	pause := s.pauses.Failed(name, ran)
	time.AfterFunc(pause, s.poke)
	s.metrics.Output(name).Works(false)
	s.env.Log.Error("an output failed; it is opened again and goes on from the last commit", "output", name, "error", err, "pause", pause)
}

// Hurry has no output try anything again.
func (s *Lanes) Hurry() {
	for _, l := range s.all {
		l.Pump.Hurry()
	}
}

// Shutdown ends all outputs when they have delivered what was put, at the latest at
// the deadline. It reports whether something stays undelivered.
func (s *Lanes) Shutdown() (undelivered bool) {
	for _, l := range s.all {
		if !l.Stopping() {
			l.Stop()
		}
	}
	await := s.deadline.Waiter()
	for name, l := range s.all {
		if !await(l.Ended()) {
			undelivered = true
			s.env.Log.Warn("an output stands in a write that does not end; the process ends without it", "output", name)
		} else if err := l.Err(); err != nil {
			undelivered = true
			s.env.Log.Warn("an output did not deliver everything in time", "output", name, "error", err)
		}
	}
	return undelivered
}
