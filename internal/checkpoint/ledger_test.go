package checkpoint

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestRegisterAndLoad(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	l := ledger(t, s, "screen")
	must(t, l.Register([]Entry{entry("a/1", "x"), entry("a/2", "y"), entry("b/1", "z")}, nil))
	must(t, l.Register([]Entry{entry("a/1", "other"), entry("c", "")}, []string{"b/1", "unknown"}))
	must(t, ledger(t, s, "screen2").Register([]Entry{entry("a/9", "!")}, nil))

	if got := content(t, l, ""); got != "a/1:x a/2:y c:" {
		t.Errorf("all: %q", got)
	}
	if got := content(t, l, "a/"); got != "a/1:x a/2:y" {
		t.Errorf("with prefix a/: %q", got)
	}
	must(t, s.Close())
	if got := content(t, ledger(t, open(t, dir), "screen"), ""); got != "a/1:x a/2:y c:" {
		t.Errorf("after a restart: %q", got)
	}
}

func TestLedgerIsOneObject(t *testing.T) {
	s := open(t, t.TempDir())
	a, again := ledger(t, s, "a"), ledger(t, s, "a")
	if a != again || a == ledger(t, s, "b") {
		t.Error("not one ledger a name")
	}
}

func TestTakenOverCommitted(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	l := ledger(t, s, "screen")
	must(t, l.Register([]Entry{entry("a", "0"), entry("b", "0")}, nil))
	value := []byte("1")
	l.Take("a", value)
	value[0] = '?' // Take copies
	l.Take("new", []byte("1"))
	if got := content(t, l, ""); got != "a:1 b:0 new:1" {
		t.Errorf("taken: %q", got)
	}
	if got := content(t, l, "a"); got != "a:1" {
		t.Errorf("taken, with prefix: %q", got)
	}
	if got := content(t, ledger(t, s, "archive"), ""); got != "" {
		t.Errorf("another output sees %q", got)
	}

	l.Take("a", []byte("2"))
	must(t, l.Commit([]Entry{entry("a", "1")}, nil))
	if got := content(t, l, "a"); got != "a:2" {
		t.Errorf("a commit of less than what was taken dropped it: %q", got)
	}
	l.Reset()
	if got := content(t, l, ""); got != "a:1 b:0" {
		t.Errorf("after Reset: %q", got)
	}
	l.Take("a", []byte("3"))
	must(t, l.Commit([]Entry{entry("a", "2"), entry("a", "3")}, nil))
	l.Reset()
	if got := content(t, l, "a"); got != "a:3" {
		t.Errorf("after the commit: %q", got)
	}
	if len(l.taken.m) != 0 {
		t.Errorf("%d left on the overlay", len(l.taken.m))
	}
}

func TestDeletedKeyIsForgotten(t *testing.T) {
	l := ledger(t, open(t, t.TempDir()), "screen")
	must(t, l.Register([]Entry{entry("old", "0")}, nil))
	l.Take("old", []byte("1"))
	must(t, l.Register([]Entry{entry("new", "1")}, []string{"old"}))
	if got := content(t, l, ""); got != "new:1" {
		t.Errorf("got %q", got)
	}
}

func TestUndo(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	l := ledger(t, s, "archive")
	if l.Undo() != nil {
		t.Error("a note from nowhere")
	}
	note := []byte("one")
	must(t, l.Commit([]Entry{entry("a", "1")}, note))
	note[0] = '?'
	must(t, l.Commit([]Entry{entry("a", "2")}, nil))
	if got := string(l.Undo()); got != "one" {
		t.Errorf("a nil note changed it to %q", got)
	}
	must(t, s.Close())
	s = open(t, dir)
	l = ledger(t, s, "archive")
	if got := string(l.Undo()); got != "one" {
		t.Errorf("after a restart: %q", got)
	}
	must(t, l.Commit(nil, []byte{}))
	if got := l.Undo(); got == nil || len(got) != 0 {
		t.Errorf("an empty note: %q", got)
	}
	if got := content(t, l, ""); got != "a:2" {
		t.Errorf("positions: %q", got)
	}
}

func TestTouch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := ledger(t, open(t, t.TempDir()), "screen")
		must(t, l.Register([]Entry{entry("a", "1"), entry("b", "1")}, nil))
		time.Sleep(time.Hour)
		must(t, l.Touch([]string{"b", "unknown"}))
		all, err := l.Load("")
		must(t, err)
		if line(all) != "a:1 b:1" {
			t.Fatalf("got %q", line(all))
		}
		age := map[string]time.Duration{}
		for _, e := range all {
			age[e.Key] = time.Since(e.Seen)
		}
		if age["a"] != time.Hour || age["b"] != 0 {
			t.Errorf("ages: %v", age)
		}
	})
}

func TestImpossibleKeys(t *testing.T) {
	l := ledger(t, open(t, t.TempDir()), "screen")
	err := l.Commit([]Entry{entry(strings.Repeat("k", 40_000), "1")}, nil)
	if err == nil || !strings.Contains(err.Error(), "screen") || len(err.Error()) > 1000 {
		t.Errorf("a key of 40,000 bytes: %.300v", err)
	}
	must(t, l.Commit([]Entry{entry("a", strings.Repeat("v", 1<<20))}, nil))
	if got := content(t, l, ""); len(got) != 1<<20+2 {
		t.Errorf("a long value: %d bytes", len(got))
	}
}

func TestTakeAllocatesNothing(t *testing.T) {
	l := ledger(t, open(t, t.TempDir()), "screen")
	value := make([]byte, 100)
	l.Take("key", value)
	if n := testing.AllocsPerRun(100, func() { l.Take("key", value) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Followers register, take and load while each output commits; in the end every
// ledger holds what was committed last.
func TestConcurrentUse(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	const outputs, followers, rounds = 3, 4, 15
	var wg sync.WaitGroup
	for o := range outputs {
		l := ledger(t, s, fmt.Sprint("output", o))
		commits := make(chan Entry, followers)
		var following sync.WaitGroup
		for f := range followers {
			following.Go(func() { follow(t, l, fmt.Sprint("file", f), rounds, commits) })
		}
		wg.Go(func() { following.Wait(); close(commits) })
		wg.Go(func() {
			for e := range commits {
				if err := l.Commit([]Entry{e}, e.Value); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		keep := func(string, string, []byte) bool { return true }
		if n, err := s.Expire(time.Now().Add(time.Hour), keep); n != 0 || err != nil {
			t.Error(n, err)
		}
	})
	wg.Wait()
	must(t, s.Close())
	s = open(t, dir)
	for o := range outputs {
		want := fmt.Sprintf("file0:%d file1:%[1]d file2:%[1]d file3:%[1]d", rounds)
		if got := content(t, ledger(t, s, fmt.Sprint("output", o)), ""); got != want {
			t.Errorf("output %d: %q", o, got)
		}
	}
}

func follow(t *testing.T, l *Ledger, file string, rounds int, commits chan<- Entry) {
	if err := l.Register([]Entry{entry(file, "0")}, nil); err != nil {
		t.Error(err)
	}
	for i := 1; i <= rounds; i++ {
		e := entry(file, fmt.Sprint(i))
		l.Take(file, e.Value)
		if got, err := l.Load(file); err != nil || len(got) != 1 || !bytes.Equal(got[0].Value, e.Value) {
			t.Errorf("%s: took %s, loaded %v, %v", file, e.Value, got, err)
		}
		commits <- e
	}
}

func TestNoted(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for _, name := range []string{"a", "b", "c", "d"} {
		must(t, ledger(t, s, name).Commit([]Entry{entry("x", "1")}, nil))
	}
	must(t, ledger(t, s, "b").Commit(nil, []byte("note")))
	must(t, ledger(t, s, "d").Commit(nil, []byte("note")))
	must(t, ledger(t, s, "c").Commit(nil, []byte("note")))
	must(t, ledger(t, s, "c").Commit(nil, []byte{}))
	must(t, s.Close())
	names, err := open(t, dir).Noted()
	if err != nil || fmt.Sprint(names) != "[b d]" {
		t.Errorf("%q, %v", names, err)
	}
}
