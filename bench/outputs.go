//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// outputPatience is how long one delivery may take.
const outputPatience = 5 * time.Minute

// outputsRun is the section while it runs.
type outputsRun struct {
	*bench
	by map[string]*runs
}

// outputs measures how long each output over a network takes for a file that is there already, and
// what it costs, from the start of the process to its end, beside the limit. Each run has a new far
// end, in a process of its own: its processor time is not counted, but it has to be had.
func (b *bench) outputs(ctx context.Context) (findings, error) {
	s := &outputsRun{b, map[string]*runs{}}
	taking := b.takingLinks()
	for _, l := range taking {
		if _, err := writeBacklog(b.inputOf(l), int64(b.linesOf(l))*int64(b.line), b.line); err != nil {
			return findings{}, fmt.Errorf("writing the backlog: %w", err)
		}
		s.by[l.ours.name], s.by[l.limit.name] = &runs{}, &runs{}
	}
	for round := range b.rounds {
		for _, l := range taking {
			for _, c := range []collector{l.ours, l.limit} {
				b.say("outputs, round %d of %d: %s", round+1, b.rounds, c.name)
				if err := s.once(ctx, l, c); err != nil {
					return findings{}, err
				}
			}
		}
	}
	return s.findings(taking), nil
}

func (b *bench) linesOf(l link) uint64 { return max(uint64(l.share*float64(b.lines)), 1) }

// inputOf is the file with that many lines; its folder goes when all is done.
func (b *bench) inputOf(l link) string {
	return filepath.Join(b.tmp, fmt.Sprintf("%d-lines.log", b.linesOf(l)))
}

// takingLinks are those that --with names; all, if it names none.
func (b *bench) takingLinks() []link {
	if len(b.with) == 0 {
		return b.links
	}
	return slices.DeleteFunc(slices.Clone(b.links), func(l link) bool {
		return !slices.ContainsFunc(b.with, func(name string) bool { return strings.HasPrefix(l.name, name) })
	})
}

// once measures a program in one round. What goes wrong with it is in its figures; the error ends all.
func (s *outputsRun) once(ctx context.Context, l link, c collector) error {
	j, release, err := s.job(c)
	if err != nil {
		return err
	}
	defer release()
	j.input, j.lines, j.line = s.inputOf(l), s.linesOf(l), s.line
	r := s.by[c.name]
	seconds, cpu, err := s.deliver(ctx, l, c, j, r)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		r.add(math.NaN(), math.NaN(), math.NaN())
		r.remark = err.Error()
		s.say("  failed: %v", err)
		return nil
	}
	r.add(seconds, cpu, float64(j.lines))
	return nil
}

// deliver runs c until it ends, and has the far end count what came.
func (s *outputsRun) deliver(ctx context.Context, l link, c collector, j job, r *runs) (seconds, cpu float64, err error) {
	to, err := s.serve(ctx, l.farEnd, j)
	if err != nil {
		return 0, 0, fmt.Errorf("starting the far end: %w", err)
	}
	j.to = to.addr
	syscall.Sync() // what the run before wrote must not be written back during this one
	start := time.Now()
	p, err := c.begin(j)
	if err == nil {
		limited, cancel := context.WithTimeout(ctx, outputPatience)
		err = p.untilEnd(limited)
		cancel()
		seconds = time.Since(start).Seconds()
		err = errors.Join(err, p.end())
	}
	came, bytes, farErr := to.end()
	if err = errors.Join(err, farErr); err != nil {
		return 0, 0, err
	}
	r.peak, r.size = max(r.peak, p.peak), int64(bytes)
	if came != j.lines {
		r.remark = fmt.Sprintf("%s of %s records came", thousands(int64(came)), thousands(int64(j.lines)))
	}
	return seconds, p.cpu().Seconds(), nil
}
