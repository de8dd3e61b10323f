package output

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/checkpoint"
	"github.com/logcatchsys/logcatchsys/internal/leak"
	"github.com/logcatchsys/logcatchsys/internal/peer"
	"github.com/logcatchsys/logcatchsys/internal/record"
)

func TestMain(m *testing.M) {
	peer.Main()
	if dir := os.Getenv(crashDir); dir != "" {
		os.Exit(crashChild(dir))
	}
	leak.Main(m)
}

var (
	bg      = context.Background()
	errFull = errors.New("no space left on device")
	hour    = time.Date(2026, 11, 22, 7, 34, 1, 0, time.UTC)
)

// made is a batch whose Out is text.
func made(source, text string) *record.Batch {
	return &record.Batch{Source: source, Key: source, Data: []byte(text), Out: []byte(text), Count: strings.Count(text, "\n"), Read: hour}
}

// piece is a raw piece of an over-long line.
func piece(source, text string, n int, last bool) *record.Batch {
	b := made(source, text)
	b.Partial = &record.Partial{Piece: n, Last: last}
	return b
}

// pieces of long raw lines, and lines of others between them.
func pieces() []*record.Batch {
	return []*record.Batch{
		piece("a", "aa", 0, false), piece("a", "AA", 1, false), piece("a", "aa\n", 2, true),
		piece("a", "aa", 0, false), made("b", "b1\n"), piece("a", "AA\n", 1, true), made("c", "c\n"),
	}
}

// joined is what must come of them.
const joined = "aaAAaa\naa\nb1\nAA\nc\n"

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// logged gives a log and what is in it.
func logged() (*slog.Logger, func() string) {
	var mu sync.Mutex
	var buf bytes.Buffer
	w := writer(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return buf.Write(p)
	})
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug})), func() string {
		mu.Lock()
		defer mu.Unlock()
		return buf.String()
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func content(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return "(none)"
	}
	must(t, err)
	return string(b)
}

// names of all files below dir, sorted.
func names(t testing.TB, dir string) (all []string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			all = append(all, rel)
		}
		return err
	}))
	slices.Sort(all)
	return all
}

// A memLedger keeps what was committed in memory.
type memLedger struct {
	mu      sync.Mutex
	taken   []string
	pos     map[string]string
	undo    []byte
	notes   []string // all that were committed
	commits []time.Time
	fail    func() error
}

func (l *memLedger) Take(key string, value []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taken = append(l.taken, key+string(value))
	l.mu.Unlock()
	runtime.Gosched() // lets another Put overtake this one, if it can
	l.mu.Lock()
}

func (l *memLedger) Commit(pos []checkpoint.Entry, undo []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		if err := l.fail(); err != nil {
			return err
		}
	}
	if l.pos == nil {
		l.pos = map[string]string{}
	}
	for _, e := range pos {
		l.pos[e.Key] = string(e.Value)
	}
	if undo != nil {
		l.undo = bytes.Clone(undo)
		l.notes = append(l.notes, string(undo))
	}
	if len(pos) > 0 {
		l.commits = append(l.commits, time.Now())
	}
	return nil
}

func (l *memLedger) Note(undo []byte) error { return l.Commit(nil, undo) }

func (l *memLedger) times() []time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.commits)
}

func (l *memLedger) at(key string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pos[key]
}

// numbered is lines from number n on.
func numbered(source string, n, count int) string {
	var b strings.Builder
	for i := range count {
		fmt.Fprintf(&b, "%s %08d\n", source, n+i)
	}
	return b.String()
}

func position(key string, n int) []checkpoint.Entry {
	return []checkpoint.Entry{{Key: key, Value: fmt.Append(nil, n)}}
}
