// Package daemon is what the main goroutine is built of: the plan that a
// configuration makes, outputs at work, the own log, and what surrounds them.
package daemon

import (
	"context"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/logcatchsys/logcatchsys/logconfig"
)

// LogSettings change the own log while loggers made from it are in use.
type LogSettings struct {
	level slog.LevelVar
	json  atomic.Bool
}

// Set brings settings into force.
func (s *LogSettings) Set(l logconfig.Log) {
	s.level.Set(l.Level)
	s.json.Store(l.Format == "json")
}

// NewLog makes the daemon's own log: text, from level info, until Set.
func NewLog(w io.Writer) (*slog.Logger, *LogSettings) {
	s := &LogSettings{}
	w = &lineWriter{w: w} // the two handlers have a lock each
	opts := &slog.HandlerOptions{Level: &s.level}
	return slog.New(logHandler{s, slog.NewTextHandler(w, opts), slog.NewJSONHandler(w, opts)}), s
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

type lineWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lineWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
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
