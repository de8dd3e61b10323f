//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/traffic"
)

// idleFiles measures what files cost that nobody writes to. It takes its time: ten seconds did not see
// that a sweep every 30 s took the whole core.
func (b *bench) idleFiles(ctx context.Context) (f findings, err error) {
	for _, files := range b.idle {
		t := table{
			title: fmt.Sprintf("%s idle files", thousands(int64(files))),
			note:  fmt.Sprintf("Each file has one line. CPU: %% of one core over %g s, after all lines had arrived and %v more.", b.idling, b.settle),
			head:  []string{"collector", "CPU %", "RSS MiB", "remark"},
		}
		for _, c := range b.taking("idle") {
			b.say("idle, %d files: %s", files, c.name)
			percent, rss, err := b.idleOf(ctx, c, files)
			if ctx.Err() != nil {
				return f, ctx.Err()
			}
			remark := ""
			if err != nil {
				remark = err.Error()
			}
			t.rows = append(t.rows, []string{c.name, short(percent), mebibytes(rss), remark})
			if strings.HasPrefix(c.name, "logcatchsys") && files == b.idle[len(b.idle)-1] {
				what := fmt.Sprintf("%s idle files, %s: ", thousands(int64(files)), c.name)
				f.aims = append(f.aims,
					aim{what: what + "CPU, % of a core", want: "< 0.5", got: short(percent), met: percent < 0.5},
					aim{what: what + "RSS, MiB", want: "≤ 100", got: mebibytes(rss), met: rss > 0 && rss <= 100<<20})
			}
		}
		f.tables = append(f.tables, t)
	}
	return f, nil
}

func (b *bench) idleOf(ctx context.Context, c collector, files int) (percent float64, rss int64, err error) {
	percent = math.NaN()
	j, release, err := b.job(c)
	if err != nil {
		return percent, 0, err
	}
	defer release()
	if j.input, err = writeIdle(filepath.Dir(j.input), files); err != nil {
		return percent, 0, err
	}
	j.files = files
	p, err := c.begin(j)
	if err != nil {
		return percent, 0, err
	}
	defer func() { err = errors.Join(err, p.end()) }()
	remark := errors.Join(waitLines(ctx, p, j.out, files), pause(ctx, p, b.settle))
	before, err := cpuSoFar(p.pid())
	if err != nil {
		return percent, 0, errors.Join(remark, err)
	}
	start := time.Now()
	if err := pause(ctx, p, time.Duration(b.idling*float64(time.Second))); err != nil {
		return percent, 0, errors.Join(remark, err)
	}
	after, err := cpuSoFar(p.pid())
	elapsed := time.Since(start)
	rss, err2 := statusBytes(p.pid(), "VmRSS")
	return 100 * float64(after-before) / float64(elapsed), rss, errors.Join(remark, err, err2)
}

// writeIdle makes files of one line each and returns their pattern.
func writeIdle(dir string, files int) (pattern string, err error) {
	id := traffic.SequenceID(sourceName, 1)
	for n := range files {
		line := traffic.AppendNumbered(nil, id, uint64(n+1), 100)
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("idle%05d.log", n)), line, 0o644); err != nil {
			return "", err
		}
	}
	return filepath.Join(dir, "*.log"), nil
}

// waitLines waits until the output has so many lines.
func waitLines(ctx context.Context, p *child, path string, lines int) error {
	w := watched{path: path}
	defer w.close()
	for last := time.Now(); ; {
		if w.grown() {
			last = time.Now()
			if n, err := countLines(path); err != nil || n >= lines {
				return err
			}
		}
		if err := pause(ctx, p, 10*look); err != nil {
			return err
		}
		if time.Since(last) > patience {
			n, _ := countLines(path) // none if there is no file
			return fmt.Errorf("%d of %d lines arrived", n, lines)
		}
	}
}

// pause lets time go by, as long as the child runs.
func pause(ctx context.Context, p *child, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-p.done:
		return errors.Join(errors.New("ended by itself"), p.gone())
	case <-time.After(d):
		return nil
	}
}
