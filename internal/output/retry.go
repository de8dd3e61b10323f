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
				p.cfg.Log.Info(fmt.Sprintf("output %s: %s works again after %s, %d tries", p.cfg.Name, verb, time.Since(start).Round(time.Millisecond), tries))
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
		if text := err.Error(); text != said {
			p.cfg.Log.Warn(fmt.Sprintf("output %s: %s; retrying", p.cfg.Name, text))
			said = text
		}
		if p.cfg.Hooks.Retry != nil {
			p.cfg.Hooks.Retry()
		}
		p.pause(ctx, tries, err)
	}
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
