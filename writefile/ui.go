package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/traffic"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// barInterval is how often the bar is drawn. The writers only count: at 100,000 lines/s a bar that
// is told of each line would be what the simulator does most of the time.
const barInterval = 100 * time.Millisecond

// ui tells what happens: text, and a progress bar if people look.
type ui struct {
	options traffic.Options
	lines   atomic.Int64

	mu   sync.Mutex // guards the text and the bar, which share the screen
	text io.Writer
	bar  *progressbar.ProgressBar // nil: none

	stop chan struct{}
	done sync.WaitGroup
}

func newUI(text, errors io.Writer, o traffic.Options, paths int) *ui {
	u := &ui{text: text, options: o, stop: make(chan struct{})}
	if !isTerminal(text) || !isTerminal(errors) {
		return u
	}
	total := o.Lines * int64(o.Rounds) * int64(paths)
	if total <= 0 { // endless, or beyond counting
		total = -1
	}
	u.bar = progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(errors),
		progressbar.OptionSetDescription("lines"),
		progressbar.OptionShowCount(),
		progressbar.OptionSetWidth(30),
		progressbar.OptionClearOnFinish(),
	)
	u.done.Go(u.draw)
	return u
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (u *ui) draw() {
	t := time.NewTicker(barInterval)
	defer t.Stop()
	for {
		select {
		case <-u.stop:
			return
		case <-t.C:
			u.mu.Lock()
			_ = u.bar.Set64(u.lines.Load()) // a bar that cannot be drawn is no reason to stop
			u.mu.Unlock()
		}
	}
}

func (u *ui) wrote(lines int) { u.lines.Add(int64(lines)) }

func (u *ui) rotated(t traffic.Turn) {
	what := "renamed to " + shown(t.To)
	switch u.options.Rotate {
	case traffic.CopyTruncate:
		what = "copied to " + shown(t.To) + " and emptied"
	case traffic.Delete:
		what = "deleted"
	case traffic.Gzip, traffic.Zstd:
		what = "compressed to " + shown(t.To)
	case traffic.RenameKeep:
		what += fmt.Sprintf(", up to %d late lines", u.options.Late)
	}
	u.say("%s: %d lines to %s, %s\n", t.Name, t.Lines, shown(t.Path), what)
}

func (u *ui) say(format string, args ...any) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.bar != nil {
		_ = u.bar.Clear()
	}
	fmt.Fprintf(u.text, format, args...)
}

// end takes the bar away and sums up.
func (u *ui) end(all []traffic.Stats, stopped bool) {
	close(u.stop)
	u.done.Wait()
	if stopped {
		u.say("stopped\n")
	}
	for _, st := range all {
		u.say("%s: written: %d lines, %d bytes; rotations: %d\n", st.Source, st.Lines, st.Bytes, st.Rotations)
	}
}
