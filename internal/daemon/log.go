// Package daemon is what the main goroutine is built of: the plan that a
// configuration makes, outputs at work, the own log, and what surrounds them.
package daemon

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/logcatchsys/logcatchsys/logconfig"
)

// LogSettings change the own log while loggers made from it are in use.
type LogSettings struct {
	level slog.LevelVar
	json  atomic.Bool
	queue *logQueue
}

// Set brings settings into force.
func (s *LogSettings) Set(l logconfig.Log) {
	s.level.Set(l.Level)
	s.json.Store(l.Format == "json")
}

// Flush waits until all that was logged is written, at most for so long: the reader may
// stand still. Whoever ends the process calls it.
func (s *LogSettings) Flush(most time.Duration) { s.queue.flush(most) }

// NewLog makes the daemon's own log: text, from level info, until Set. To log does not
// wait for w: see Flush.
func NewLog(w io.Writer) (*slog.Logger, *LogSettings) {
	s := &LogSettings{}
	handler := func(w io.Writer) slog.Handler {
		opts := &slog.HandlerOptions{Level: &s.level}
		return logHandler{s, slog.NewTextHandler(w, opts), slog.NewJSONHandler(w, opts)}
	}
	s.queue = &logQueue{w: w, note: func(dropped int) []byte {
		r := slog.NewRecord(time.Now(), slog.LevelWarn, "the reader of this log stood still: messages are missing here", 0)
		r.Add("dropped", dropped)
		var line bytes.Buffer
		_ = handler(&line).Handle(context.Background(), r) // whatever the level: a buffer does not fail
		return line.Bytes()
	}}
	return slog.New(handler(s.queue)), s
}

// LogLines logs an error that may be several, a line each.
func LogLines(log *slog.Logger, err error) {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		log.Error(line)
	}
}

// Hostname is the machine's name, or localhost where that is unknown.
func Hostname(log *slog.Logger) string {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
		log.Warn("the machine's name is unknown", "using", host, "error", err)
	}
	return host
}

// A logHandler is a text and a JSON handler, of which one is in force: loggers
// with attributes, made long before, change their format with it.
type logHandler struct {
	settings   *LogSettings
	text, json slog.Handler
}

func (h logHandler) Enabled(_ context.Context, l slog.Level) bool {
	return l >= h.settings.level.Level()
}

func (h logHandler) Handle(ctx context.Context, r slog.Record) error {
	if h.settings.json.Load() {
		return h.json.Handle(ctx, r)
	}
	return h.text.Handle(ctx, r)
}

func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return logHandler{h.settings, h.text.WithAttrs(attrs), h.json.WithAttrs(attrs)}
}

func (h logHandler) WithGroup(name string) slog.Handler {
	return logHandler{h.settings, h.text.WithGroup(name), h.json.WithGroup(name)}
}
