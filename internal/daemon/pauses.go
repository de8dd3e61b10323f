package daemon

import "time"

const (
	pauseFirst = time.Second
	pauseMost  = 30 * time.Second
	healthy    = time.Minute // who ran so long begins with the first pause again
)

// Pauses says how long what failed has to wait before its next start: longer each
// time. It is for one goroutine.
type Pauses[K comparable] map[K]pause

type pause struct {
	length time.Duration
	until  time.Time
}

// Failed takes note that k has failed after it ran for some time, and returns how
// long it has to wait.
func (p Pauses[K]) Failed(k K, ran time.Duration) time.Duration {
	length := min(max(2*p[k].length, pauseFirst), pauseMost)
	if ran >= healthy {
		length = pauseFirst
	}
	p[k] = pause{length, time.Now().Add(length)}
	return length
}

// Over reports whether k may start.
func (p Pauses[K]) Over(k K) bool { return !time.Now().Before(p[k].until) }
