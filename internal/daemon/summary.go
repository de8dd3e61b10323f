package daemon

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/status"
	"github.com/logcatchsys/logcatchsys/logtailf"
)

// A Summary says what came of reading everything once.
type Summary struct {
	Unread []string // what could not be read, and why
	begun  time.Time
}

// NewSummary begins one.
func NewSummary() *Summary { return &Summary{begun: time.Now()} }

// Ended takes what came of a source: the error that ended its follower, or the paths
// that could not be read, with the reasons.
func (s *Summary) Ended(source string, err error, f *logtailf.Follower) {
	if err != nil {
		s.add("source %s: %v", source, err)
		return
	}
	s.unread(source, f.Unread())
}

func (s *Summary) unread(source string, unread map[string]string) {
	for _, path := range slices.Sorted(maps.Keys(unread)) {
		if !strings.HasPrefix(path, "\x00") { // a remark of the follower's own, not a path
			s.add("source %s: %s: %s", source, path, unread[path])
		}
	}
}

// missing takes note of a source that stands for nothing: its path may be misspelt.
func (s *Summary) missing(source string, c logtailf.Config) {
	said := slices.ContainsFunc(s.Unread, func(line string) bool { return strings.HasPrefix(line, "source "+source+": ") })
	if paths, _ := logtailf.Paths(c); said || len(paths) > 0 {
		return
	}
	what := "there is no file that matches"
	if c.Literal {
		what = "there is no such file"
	}
	s.add("source %s: %s: %s", source, c.Path, what)
}

// add takes a line; those of a source's other outputs say the same.
func (s *Summary) add(format string, args ...any) {
	if line := fmt.Sprintf(format, args...); !slices.Contains(s.Unread, line) {
		s.Unread = append(s.Unread, line)
	}
}

// Write writes the summary of the plan for people, a line a source and output. It
// reports whether records were refused for good.
func (s *Summary) Write(w io.Writer, p Plan, m *status.Metrics) (dropped bool) {
	var allBytes, allRecords, allDropped int64
	for _, k := range p.Keys() {
		bytes, records := m.Tail(k).Delivered()
		if bytes == 0 {
			s.missing(k.Source, p.Tails[k])
		}
		allBytes, allRecords = allBytes+bytes, allRecords+records
		dropped := m.Tail(k).Dropped()
		allDropped += dropped
		fmt.Fprintf(w, "%s: %d records, %d bytes\n", p.title(k), records, bytes)
		if dropped > 0 {
			fmt.Fprintf(w, "%s: %d records refused for good%s\n", p.title(k), dropped, letters(p.Outputs[k.Output].DeadLetter))
		}
	}
	took := time.Since(s.begun).Round(time.Millisecond)
	fmt.Fprintf(w, "delivered %d records, %d bytes in %s\n", allRecords, allBytes, took)
	for _, line := range s.Unread {
		fmt.Fprintf(w, "not read: %s\n", line)
	}
	return allDropped > 0
}

func letters(path string) string {
	if path == "" {
		return "; there is no dead_letter"
	}
	return "; they are in " + path
}

// SayUndelivered logs what a stop leaves undelivered, a line a source and output.
func SayUndelivered(log *slog.Logger, p Plan, m *status.Metrics) {
	for _, k := range p.Keys() {
		if bytes, records := m.Tail(k).Underway(); records > 0 {
			log.Warn("not delivered yet; comes at the next start",
				"source", k.Source, "output", k.Output, "records", records, "bytes", bytes)
		}
	}
}
