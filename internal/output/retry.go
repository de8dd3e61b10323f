package output

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// longestBusy bounds the pause that a far end may ask for.
const longestBusy = time.Hour

// A far end that limits the rate refuses again and again, and takes what it is sent soon
// after. For quietTime after an outage that was logged, others are only if they last.
const (
	quietTime  = time.Minute
	lastingFor = 10 * time.Second
)

// retry calls do until it succeeds, with growing pauses, until ctx ends, or Hurry was
// called, or the error is final. An outage is logged once when it begins, when its cause changes, and
// when it is over.
func (p *Pump) retry(ctx context.Context, verb string, do func() error) error {
	var said string
	var last error
	start := time.Now()
	for tries := 1; ; tries++ {
		err := do()
		if err == nil {
			if tries > 1 {
				p.works(true)
				p.over(said != "", fmt.Sprintf("%s works again after %s, %d tries", verb, time.Since(start).Round(time.Millisecond), tries))
			}
			return nil
		}
		if final(err) {
			return err
		}
		if last == nil || ctx.Err() == nil { // what ctx's end does to a try says nothing
			last = err
		}
		p.works(false)
		if ctx.Err() != nil || isClosed(p.hurry) {
			return fmt.Errorf("output %s: %s given up: %w", p.cfg.Name, verb, last)
		}
		if text := err.Error(); text != said && (said != "" || time.Since(p.said) >= quietTime || time.Since(start) >= lastingFor) {
			p.cfg.Log.Warn(fmt.Sprintf("output %s: %s; retrying%s", p.cfg.Name, text, p.before()))
			said = text
		}
		if p.cfg.Hooks.Retry != nil {
			p.cfg.Hooks.Retry()
		}
		p.pause(ctx, tries, err)
	}
}

// over takes note of the end of an outage, and logs it if its beginning was.
func (p *Pump) over(said bool, text string) {
	if !said {
		p.unsaid++
		return
	}
	p.cfg.Log.Info(fmt.Sprintf("output %s: %s", p.cfg.Name, text))
	p.said = time.Now()
}

// before is how often it failed for a short time since that was logged last.
func (p *Pump) before() string {
	if p.unsaid == 0 {
		return ""
	}
	n := p.unsaid
	p.unsaid = 0
	return fmt.Sprintf("; %d short outages since the last one that was logged", n)
}

func (p *Pump) works(yes bool) {
	if p.cfg.Hooks.Works != nil {
		p.cfg.Hooks.Works(yes)
	}
}

func final(err error) bool {
	var gone *GoneError
	var lost *LostError
	var fenced *FencedError
	return errors.As(err, &gone) || errors.As(err, &lost) || errors.As(err, &fenced)
}

// pause waits before try number tries+1: the first pause doubled each time up to the
// longest, less up to half of it by chance, so that outputs that failed together do
// not come back together; but at least as long as the error asks for.
func (p *Pump) pause(ctx context.Context, tries int, err error) {
	d := p.cfg.Retry.Max
	if shift := tries - 1; shift < 32 {
		d = min(d, p.cfg.Retry.Initial<<shift)
	}
	d -= time.Duration(rand.Int64N(int64(d)/2 + 1))
	if busy := (*BusyError)(nil); errors.As(err, &busy) {
		d = max(d, min(busy.After, longestBusy))
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.hurry:
	case <-ctx.Done():
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
