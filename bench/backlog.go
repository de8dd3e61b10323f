//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/traffic"
)

const (
	slowRounds = 3
	patience   = 20 * time.Second // an output that stands still for so long is given up
	sourceName = "bench"
)

// catJSON is the row of cat copying the JSON that ours made of the backlog.
const catJSON = "cat of the JSON"

// runs are the figures of one collector, one a round; NaN where it failed.
type runs struct {
	seconds, cpu, perCPU []float64
	size                 int64 // bytes of the output
	peak                 int64
	remark               string
}

func (r *runs) add(seconds, cpu, lines float64) {
	r.seconds, r.cpu = append(r.seconds, seconds), append(r.cpu, cpu)
	r.perCPU = append(r.perCPU, lines/cpu)
}

// backlogRun is the section while it runs.
type backlogRun struct {
	*bench
	input string
	lines uint64
	by    map[string]*runs
}

// backlog measures how long each takes for a file that is there already, from its start to the last
// line's being in the output; what ends by itself (cat, run --once), to its end. The input is in the
// page cache, memory for the output is at hand, and nothing is left to be written back.
func (b *bench) backlog(ctx context.Context) (findings, error) {
	s := &backlogRun{bench: b, input: filepath.Join(b.tmp, "backlog.log"), by: map[string]*runs{}}
	taking := b.taking("backlog")
	for _, c := range taking {
		s.by[c.name] = &runs{remark: c.missing}
	}
	s.by[catJSON] = &runs{}
	var err error
	if s.lines, err = writeBacklog(s.input, b.size, b.line); err != nil {
		return findings{}, fmt.Errorf("writing the backlog: %w", err)
	}
	defer os.Remove(s.input) // its folder goes, too
	for round := range b.rounds {
		for _, c := range taking {
			if c.missing != "" || c.slow && round >= slowRounds {
				continue
			}
			b.say("backlog, round %d of %d: %s", round+1, b.rounds, c.name)
			if err := s.once(ctx, c, round); err != nil {
				return findings{}, err
			}
		}
	}
	return s.findings(taking), nil
}

// writeBacklog writes numbered lines of size bytes in all, and says how many.
func writeBacklog(path string, size int64, line int) (lines uint64, err error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	id := traffic.SequenceID(sourceName, 1)
	var buf []byte
	for written := int64(0); written+int64(line) <= size; written += int64(line) {
		lines++
		buf = traffic.AppendNumbered(buf[:0], id, lines, line)
		if _, err := w.Write(buf); err != nil {
			return lines, err
		}
	}
	return lines, w.Flush()
}

// once measures a collector in one round. What goes wrong with it is in its figures; the error ends all.
func (s *backlogRun) once(ctx context.Context, c collector, round int) error {
	j, release, err := s.job(c)
	if err != nil {
		return err
	}
	defer release()
	j.input = s.input
	r := s.by[c.name]
	seconds, cpu, err := s.deliver(ctx, c, j, r)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		r.add(math.NaN(), math.NaN(), math.NaN())
		r.remark = err.Error()
		s.say("  failed: %v", err)
		return nil
	}
	r.add(seconds, cpu, float64(s.lines))
	if round == 0 {
		r.remark = s.verified(j.out, c.format)
	}
	if c.name == oursJSON+unsynced {
		return s.copyJSON(ctx, j)
	}
	return nil
}

// deliver runs c until the whole backlog is in the output.
func (s *backlogRun) deliver(ctx context.Context, c collector, j job, r *runs) (seconds, cpu float64, err error) {
	syscall.Sync() // what the run before wrote must not be written back during this one
	if err := warmMemory(j.work("memory"), s.outputSize(c)); err != nil {
		return 0, 0, fmt.Errorf("warming the memory: %w", err)
	}
	start := time.Now()
	p, err := c.begin(j)
	if err != nil {
		return 0, 0, err
	}
	if c.exits {
		err = p.untilEnd(ctx)
	} else {
		last := traffic.AppendNumbered(nil, traffic.SequenceID(sourceName, 1), s.lines, s.line)
		err = waitFor(ctx, p, j.out, last[:len(last)-1], patience)
	}
	seconds = time.Since(start).Seconds()
	if err = errors.Join(err, p.end()); err != nil {
		return 0, 0, err
	}
	r.peak = max(r.peak, p.peak)
	if info, err := os.Stat(j.out); err == nil {
		r.size = info.Size()
	}
	return seconds, p.cpu().Seconds(), nil
}

// outputSize is what the output took in the round before, or a guess.
func (s *backlogRun) outputSize(c collector) int64 {
	if r := s.by[c.name]; r.size > 0 {
		return r.size
	}
	if c.format == traffic.JSON || c.name == catJSON {
		return 5 * s.size / 2
	}
	return s.size
}

// warmMemory has the page cache take so many bytes and give them back at once. The kernel of a virtual
// machine hands free memory back to its host after some seconds, and to fetch it again costs ten
// times what copying costs: 6.5 s instead of 0.7 s for cat of 2 GiB. Whoever came first would pay it.
func warmMemory(path string, bytes int64) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(path)) }()
	block := make([]byte, 1<<20)
	for ; bytes > 0; bytes -= int64(len(block)) {
		if _, err := f.Write(block[:min(bytes, int64(len(block)))]); err != nil {
			return err
		}
	}
	return nil
}

// untilEnd waits for a child that ends by itself, and samples its memory meanwhile. How it has ended,
// end says.
func (p *child) untilEnd(ctx context.Context) error {
	tick := time.NewTicker(10 * look)
	defer tick.Stop()
	for {
		select {
		case <-p.done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			p.sample()
		}
	}
}

// copyJSON has cat copy the JSON file that came out: what json is compared with.
func (s *backlogRun) copyJSON(ctx context.Context, j job) error {
	c := collector{name: catJSON, exits: true, command: catCommand}
	j.input, j.out = j.out, j.out+".copy"
	seconds, cpu, err := s.deliver(ctx, c, j, s.by[catJSON])
	if err != nil {
		return fmt.Errorf("cat of the JSON: %w", err)
	}
	s.by[catJSON].add(seconds, cpu, float64(s.lines))
	return nil
}

// verified says what is wrong with the output; "" if nothing is.
func (s *backlogRun) verified(out string, f traffic.Format) string {
	v := &traffic.Verifier{}
	v.Expect(traffic.SequenceID(sourceName, 1), 1, s.lines)
	if err := v.ReadFile(out, f); err != nil {
		return err.Error()
	}
	return faults(v.Report())
}

// faults lists what a report found, "" if nothing.
func faults(r traffic.Report) string {
	var found []string
	for _, k := range traffic.Kinds {
		if n := r.Count(k); n > 0 {
			found = append(found, thousands(int64(n))+" "+string(k))
		}
	}
	return strings.Join(found, ", ")
}
