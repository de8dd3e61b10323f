package daemon

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/status"
)

// A Summary says what came of reading everything once.
type Summary struct {
	Unread []string // what could not be read, and why
	begun  time.Time
}

// NewSummary begins one.
func NewSummary() *Summary { return &Summary{begun: time.Now()} }

// Add takes the paths that a source could not read, with the reasons.
func (s *Summary) Add(source string, unread map[string]string) {
	for _, path := range slices.Sorted(maps.Keys(unread)) {
		if strings.HasPrefix(path, "\x00") {
			continue // a remark of the follower's own, not a path
		}
		if line := fmt.Sprintf("source %s: %s: %s", source, path, unread[path]); !slices.Contains(s.Unread, line) {
			s.Unread = append(s.Unread, line)
		}
	}
}

// Fail takes what went wrong with a source as a whole.
func (s *Summary) Fail(source string, err error) {
	s.Unread = append(s.Unread, fmt.Sprintf("source %s: %v", source, err))
}

// Write writes the summary of the plan for people, a line a source and output.
func (s *Summary) Write(w io.Writer, p Plan, m *status.Metrics) {
	var allBytes, allRecords int64
	for _, k := range p.Keys() {
		bytes, records := m.Tail(k).Delivered()
		allBytes, allRecords = allBytes+bytes, allRecords+records
		fmt.Fprintf(w, "%s: %d records, %d bytes\n", p.title(k), records, bytes)
	}
	took := time.Since(s.begun).Round(time.Millisecond)
	fmt.Fprintf(w, "delivered %d records, %d bytes in %s\n", allRecords, allBytes, took)
	for _, line := range s.Unread {
		fmt.Fprintf(w, "not read: %s\n", line)
	}
}
