//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/traffic"
)

const rotateEvery = 300 * time.Millisecond

// rotation counts what is lost and repeated while the log is renamed again and again.
func (b *bench) rotation(ctx context.Context) (findings, error) {
	title := fmt.Sprintf("Rename rotations every %v at %s lines/s, %g s", rotateEvery, short(b.rate), b.seconds)
	note := "What arrived, compared with what was written, line by line. Nothing is killed."
	return b.losses(ctx, "rotation", title, note, func(o *traffic.Options) { o.Rotate, o.Every = traffic.Rename, rotateEvery }, 0)
}

// kill counts what is lost and repeated when the collector is killed under traffic and started again.
func (b *bench) kill(ctx context.Context) (findings, error) {
	title := fmt.Sprintf("kill -9, %d times, at %s lines/s, %g s", b.kills, short(b.rate), b.seconds)
	note := "The collector is started again at once. The log is not rotated. hpcloud/tail keeps no positions: it begins at the beginning each time."
	return b.losses(ctx, "kill", title, note, func(o *traffic.Options) { o.Rotate = traffic.None }, b.kills)
}

func (b *bench) losses(ctx context.Context, name, title, note string, set func(*traffic.Options), kills int) (findings, error) {
	t := table{title: title, note: note, head: []string{"collector", "written", "arrived", "lost", "repeated", "out of order", "torn", "remark"}}
	var f findings
	for _, c := range b.taking(name) {
		b.say("%s: %s", name, c.name)
		l := lossRun{bench: b, c: c, kills: kills, options: traffic.Default()}
		l.options.Numbered, l.options.Size, l.options.Rate, l.options.Batch = true, b.line, b.rate, 100
		set(&l.options)
		written, r, err := l.run(ctx)
		if ctx.Err() != nil {
			return findings{}, ctx.Err()
		}
		t.rows = append(t.rows, lossRow(c.name, written, r, err))
		if strings.HasPrefix(c.name, "logcatchsys") {
			a := aim{what: name + ", " + c.name + ": lost, repeated, out of order, torn", want: "0", got: short(float64(r.Count())), met: err == nil && r.Count() == 0 && written > 0}
			if err != nil {
				a.got = "failed"
			}
			f.aims = append(f.aims, a)
		}
	}
	f.tables = []table{t}
	return f, nil
}

func lossRow(name string, written int64, r traffic.Report, err error) []string {
	row := []string{name, thousands(written), thousands(int64(r.Lines()))}
	for _, k := range []traffic.Kind{traffic.Lost, traffic.Repeated, traffic.OutOfOrder, traffic.Torn} {
		row = append(row, thousands(int64(r.Count(k))))
	}
	if err != nil {
		if written == 0 {
			row = []string{name, "–", "–", "–", "–", "–", "–"}
		}
		return append(row, err.Error())
	}
	return append(row, "")
}

// lossRun is one collector under traffic.
type lossRun struct {
	*bench
	c       collector
	kills   int
	options traffic.Options
	job     job
	child   *child
}

// run writes, kills as often as it is to, waits until nothing more comes, and compares.
func (l *lossRun) run(ctx context.Context) (written int64, r traffic.Report, err error) {
	j, release, err := l.bench.job(l.c)
	if err != nil {
		return 0, r, err
	}
	defer release()
	l.job = j
	stats, err := l.deliver(ctx)
	for _, s := range stats {
		written += s.Lines
	}
	if written <= 1 {
		return 0, r, err // it did not even start
	}
	v := &traffic.Verifier{}
	v.ExpectStats(stats...)
	err = errors.Join(err, v.ReadFile(j.out, l.c.format))
	return written, v.Report(), err
}

// deliver brings the collector and the traffic together. The first line is there before the collector
// and is waited for: what is lost later is not lost at its start.
func (l *lossRun) deliver(ctx context.Context) (stats []traffic.Stats, err error) {
	head, err := l.write(ctx, 1, 1)
	if err != nil {
		return nil, err
	}
	if l.child, err = l.c.begin(l.job); err != nil {
		return nil, err
	}
	// Some write the rest of their buffers only at the end.
	defer func() { err = errors.Join(err, l.child.end()) }()
	if err = waitFor(ctx, l.child, l.job.out, l.line(1), startTimeout); err != nil {
		return nil, err
	}
	body, err := l.traffic(ctx)
	if err == nil {
		err = waitQuiet(ctx, l.child, l.job.out, l.line(uint64(head.Lines+body.Lines)), l.quiet)
	}
	return []traffic.Stats{head, body}, err
}

// line is a numbered line without its end.
func (l *lossRun) line(n uint64) []byte {
	line := traffic.AppendNumbered(nil, traffic.SequenceID(sourceName, 1), n, l.options.Size)
	return line[:len(line)-1]
}

// write writes so many lines from a number on.
func (l *lossRun) write(ctx context.Context, from uint64, lines int64) (traffic.Stats, error) {
	o := l.options
	o.From, o.Lines = from, lines
	if lines == 1 {
		o.Rotate, o.Every = traffic.None, 0
	}
	return traffic.Writer{Source: traffic.Source{Name: sourceName, Path: l.job.input}, Options: o}.Run(ctx)
}

// traffic writes for the time that is to be measured, and kills meanwhile.
func (l *lossRun) traffic(ctx context.Context) (traffic.Stats, error) {
	type result struct {
		stats traffic.Stats
		err   error
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	done, killed := make(chan result, 1), make(chan struct{})
	lines, written := int64(l.rate*l.seconds), int64(0)
	l.options.Wrote = func(n int) {
		if written += int64(n); written < lines && written >= lines-int64(l.options.Batch) {
			select { // the last lines come after the last kill, however late that is
			case <-killed:
			case <-ctx.Done():
			}
		}
	}
	go func() {
		stats, err := l.write(ctx, 2, lines)
		done <- result{stats, err}
	}()
	pause := time.Duration(l.seconds / float64(l.kills+1) * float64(time.Second))
	for range l.kills {
		select {
		case r := <-done:
			return r.stats, errors.Join(r.err, errors.New("written before all kills"))
		case <-time.After(pause):
		}
		l.child.kill()
		again, err := l.c.begin(l.job)
		if err != nil {
			stop()
			r := <-done
			return r.stats, fmt.Errorf("starting again: %w", errors.Join(err, r.err))
		}
		l.child = again
	}
	close(killed)
	r := <-done
	return r.stats, r.err
}
