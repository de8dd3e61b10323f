// Package e2e is for end-to-end tests of the daemon: it builds the real program, runs
// it on folders of its own under numbered traffic, and counts what arrived. Its own
// tests are what a person would try who does not trust a collector yet.
package e2e

import (
	"strings"
	"sync"
	"testing"
	"time"
)

// Patience is how long a test waits for what must come.
const Patience = time.Minute

// A Screen is what a program prints; tests wait for parts of it.
type Screen struct {
	mu      sync.Mutex
	changed chan struct{}
	text    []byte
}

// NewScreen makes an empty one.
func NewScreen() *Screen { return &Screen{changed: make(chan struct{})} }

func (s *Screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = append(s.text, p...)
	close(s.changed)
	s.changed = make(chan struct{})
	return len(p), nil
}

func (s *Screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.text)
}

// CutToLine drops what comes after the last line end.
func (s *Screen) CutToLine() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = s.text[:strings.LastIndexByte(string(s.text), '\n')+1]
}

// Until waits for the text to be what ok wants.
func (s *Screen) Until(t *testing.T, what string, ok func(text string) bool) {
	t.Helper()
	timeout := time.After(Patience)
	for {
		s.mu.Lock()
		text, changed := string(s.text), s.changed
		s.mu.Unlock()
		if ok(text) {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("waited in vain for %s in:\n%s", what, Last(s.String(), 2000))
		}
	}
}

// WaitFor waits for a part of the text.
func (s *Screen) WaitFor(t *testing.T, part string) {
	t.Helper()
	s.Until(t, part, func(text string) bool { return strings.Contains(text, part) })
}

// Last is the end of a text: n bytes at most.
func Last(s string, n int) string { return s[max(0, len(s)-n):] }
