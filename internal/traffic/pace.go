package traffic

import (
	"context"
	"time"
)

// maxBehind is how much of a delay (a rotation, a stopped process) is made up for. More would come
// out as a burst that nobody asked for.
const maxBehind = time.Second

// pacer says when lines are due. It counts from one start, so that the pauses, which are never
// exact, do not add up: at 20,000 lines/s several lines are due at each wake-up.
type pacer struct {
	rate  float64 // lines a second; 0: always due
	start time.Time
	done  int64
	timer *time.Timer
}

// wait blocks until a line is due and returns how many are, at most limit; 0 if ctx has ended.
func (p *pacer) wait(ctx context.Context, limit int64) int64 {
	if ctx.Err() != nil {
		return 0
	}
	if p.rate == 0 {
		return limit
	}
	if p.start.IsZero() {
		p.start = time.Now()
	}
	for {
		due, pause := p.due(time.Now())
		if due > 0 {
			due = min(due, limit)
			p.done += due
			return due
		}
		if !p.sleep(ctx, pause) {
			return 0
		}
	}
}

// due is how many lines are late at now or, if none is, how long the next one has time.
func (p *pacer) due(now time.Time) (int64, time.Duration) {
	elapsed := now.Sub(p.start)
	next := time.Duration(float64(p.done) / p.rate * float64(time.Second))
	if elapsed < next {
		return 0, next - elapsed
	}
	if behind := elapsed - next; behind > maxBehind {
		p.start = p.start.Add(behind - maxBehind)
		elapsed -= behind - maxBehind
	}
	return max(int64(elapsed.Seconds()*p.rate)+1-p.done, 1), 0
}

// sleep waits for d and says whether ctx is still alive.
func (p *pacer) sleep(ctx context.Context, d time.Duration) bool {
	if p.timer == nil {
		p.timer = time.NewTimer(d)
	} else {
		p.timer.Reset(d)
	}
	select {
	case <-ctx.Done():
		p.timer.Stop()
		return false
	case <-p.timer.C:
		return true
	}
}
