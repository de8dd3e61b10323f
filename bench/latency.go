//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/logcatchsys/logcatchsys/internal/traffic"
)

const (
	latencyRate   = 100 // lines a second
	latencyRounds = 2
	startTimeout  = 20 * time.Second // for the first line to arrive
)

// latency measures from before write(2) to the line's having been read from the output.
func (b *bench) latency(ctx context.Context) (findings, error) {
	t := table{
		title: fmt.Sprintf("Latency at %d lines/s, %g s", latencyRate, b.seconds),
		note:  "Milliseconds from write(2) of a line to its having been read from the output file, whose changes are waited for with inotify.",
		head:  []string{"collector", "lines", "p50 ms", "p99 ms", "max ms", "remark"},
	}
	taking := b.taking("latency")
	took, remarks := make([][]float64, len(taking)), make([]string, len(taking))
	for round := range latencyRounds {
		for i, c := range taking {
			b.say("latency, round %d of %d: %s", round+1, latencyRounds, c.name)
			ms, err := b.latencyOf(ctx, c, int(b.seconds*latencyRate/latencyRounds))
			if ctx.Err() != nil {
				return findings{}, ctx.Err()
			}
			took[i] = append(took[i], ms...)
			if err != nil {
				remarks[i] = err.Error()
			}
		}
	}
	var f findings
	for i, c := range taking {
		p99 := percentile(took[i], 99)
		t.rows = append(t.rows, []string{
			c.name, thousands(int64(len(took[i]))), short(median(took[i])), short(p99), short(percentile(took[i], 100)), remarks[i],
		})
		if strings.HasPrefix(c.name, "logcatchsys") {
			f.aims = append(f.aims, aim{what: "latency, " + c.name + ": p99, ms", want: "< 2", got: short(p99), met: p99 < 2})
		}
	}
	f.tables = []table{t}
	return f, nil
}

// latencyOf returns the milliseconds of the lines that arrived.
func (b *bench) latencyOf(ctx context.Context, c collector, lines int) (ms []float64, err error) {
	j, release, err := b.job(c)
	if err != nil {
		return nil, err
	}
	defer release()
	in, err := os.Create(j.input)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	a, err := watchArrivals(j.out, lines+1)
	if err != nil {
		return nil, err
	}
	defer a.stop()
	p, err := c.begin(j)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.end()) }()
	sent, err := sendPaced(ctx, in, lines, func() error { return a.first(ctx, p) })
	if err != nil {
		return nil, err
	}
	err = a.all(ctx, p, b.quiet)
	a.stop() // from here on the arrivals are ours alone
	for n := 1; n <= lines; n++ {
		if !a.at[n].IsZero() {
			ms = append(ms, float64(a.at[n].Sub(sent[n]))/float64(time.Millisecond))
		}
	}
	return ms, err
}

// sendPaced writes line 0, waits until the collector has it, and then writes the others at the rate.
func sendPaced(ctx context.Context, in *os.File, lines int, first func() error) (sent []time.Time, err error) {
	sent = make([]time.Time, lines+1)
	id := traffic.SequenceID(sourceName, 1)
	tick := time.NewTicker(time.Second / latencyRate)
	defer tick.Stop()
	var line []byte
	for n := range sent {
		line = traffic.AppendNumbered(line[:0], id, uint64(n), 100)
		sent[n] = time.Now()
		if _, err := in.Write(line); err != nil {
			return nil, err
		}
		if n == 0 {
			if err := first(); err != nil {
				return nil, err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return sent, nil
}

// arrivals notes when the numbered lines of a collector's output could be read.
type arrivals struct {
	path   string
	file   *os.File
	buf    []byte      // what was read of an unfinished line
	at     []time.Time // of the lines by number; for the watching goroutine until stop
	count  atomic.Int64
	notify *fsnotify.Watcher
	done   chan struct{}
}

func watchArrivals(path string, lines int) (*arrivals, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	if err := w.Add(filepath.Dir(path)); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	a := &arrivals{path: path, at: make([]time.Time, lines), notify: w, done: make(chan struct{})}
	go func() {
		defer close(a.done)
		for range w.Events {
			a.read()
		}
	}()
	return a, nil
}

// stop ends the watching; it may be called again.
func (a *arrivals) stop() {
	_ = a.notify.Close() // nothing depends on it any more
	<-a.done
	if a.file != nil {
		a.file.Close()
	}
}

// read takes what has come since the last time.
func (a *arrivals) read() {
	if a.file == nil {
		f, err := os.Open(a.path)
		if err != nil {
			return // an event of another file
		}
		a.file = f
	}
	var block [16 << 10]byte
	for {
		n, err := a.file.Read(block[:])
		now := time.Now()
		a.buf = append(a.buf, block[:n]...)
		a.lines(now)
		if n == 0 || err != nil && !errors.Is(err, io.EOF) {
			return
		}
	}
}

// lines notes the numbers of the whole lines.
func (a *arrivals) lines(now time.Time) {
	for {
		line, rest, whole := bytes.Cut(a.buf, []byte("\n"))
		if !whole {
			return
		}
		a.buf = rest
		if n := number(line); n >= 0 && n < len(a.at) && a.at[n].IsZero() {
			a.at[n] = now
			a.count.Add(1)
		}
	}
}

// number finds the number of a line, whatever the format around it; -1 if it has none.
func number(line []byte) int {
	_, rest, ok := bytes.Cut(line, []byte(traffic.SequenceID(sourceName, 1)+" "))
	digits, _, _ := bytes.Cut(rest, []byte(" "))
	n, err := strconv.ParseUint(string(digits), 10, 63)
	if !ok || err != nil || n > math.MaxInt32 {
		return -1
	}
	return int(n)
}

// first waits for the first line: the collector is at work.
func (a *arrivals) first(ctx context.Context, p *child) error {
	return a.until(ctx, p, 1, startTimeout)
}

// all waits for all lines, as long as something comes within quiet.
func (a *arrivals) all(ctx context.Context, p *child, quiet time.Duration) error {
	if err := a.until(ctx, p, len(a.at), quiet); err != nil {
		return fmt.Errorf("%d of %d lines: %w", a.count.Load(), len(a.at), err)
	}
	return nil
}

func (a *arrivals) until(ctx context.Context, p *child, count int, patience time.Duration) error {
	tick := time.NewTicker(look)
	defer tick.Stop()
	seen, last := a.count.Load(), time.Now()
	for a.count.Load() < int64(count) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.done:
			return errors.Join(errors.New("ended by itself"), p.gone())
		case <-tick.C:
		}
		if n := a.count.Load(); n != seen {
			seen, last = n, time.Now()
		}
		if time.Since(last) > patience {
			return fmt.Errorf("nothing arrived for %v", patience)
		}
	}
	return nil
}
