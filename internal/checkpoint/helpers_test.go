package checkpoint

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/logcatchsys/logcatchsys/internal/leak"
)

var long = flag.Bool("long", false, "try every bit and more crashes")

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		commitForEver(dir)
	}
	leak.Main(m)
}

var quiet = slog.New(slog.DiscardHandler)

func open(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(dir, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func ledger(t testing.TB, s *Store, output string) *Ledger {
	t.Helper()
	l, err := s.Ledger(output)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// content is all of a ledger in one line, in the order of its keys.
func content(t testing.TB, l *Ledger, prefix string) string {
	t.Helper()
	entries, err := l.Load(prefix)
	must(t, err)
	return line(entries)
}

func line(entries []Entry) string {
	m := make(map[string]string)
	for _, e := range entries {
		m[e.Key] = string(e.Value)
	}
	if len(m) != len(entries) {
		return "a key twice"
	}
	return strings.TrimSuffix(strings.TrimPrefix(fmt.Sprint(m), "map["), "]")
}

func entry(key, value string) Entry { return Entry{Key: key, Value: []byte(value)} }

func entries(n int, format string) []Entry {
	all := make([]Entry, n)
	for i := range all {
		all[i] = entry(fmt.Sprintf("source\x00/var/log/file-%06d.log", i), fmt.Sprintf(format, i))
	}
	return all
}

func dbPath(dir string) string { return filepath.Join(dir, fileName) }

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return b
}
