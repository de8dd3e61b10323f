package output

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Each case: a commit, then what happens, then a kill and a start.
func TestFileCutsBack(t *testing.T) {
	rename := func(a *archive, from, to string) { must(a.t, os.Rename(a.at(from), a.at(to))) }
	for _, c := range []struct {
		name string
		max  int64
		do   func(a *archive)
		want []string
		log  string
	}{
		{"nothing", 0, func(*archive) {}, []string{"f", "one\n"}, ""},
		{"written", 0, func(a *archive) { a.write(made("s", "two\n")) }, []string{"f", "one\n"}, ""},
		{"rotated", 8, func(a *archive) { a.write(made("s", "two\nthree\n")) }, []string{"f", "", "f.1", "one\n"}, ""},
		{"rotated twice", 8, func(a *archive) { a.write(made("s", "two\nthree\n"), made("s", "four\nfive\n")) },
			[]string{"f", "", "f.3", "one\n"}, ""},
		{"rotated by somebody else", 0, func(a *archive) {
			a.write(made("s", "two\n"))
			rename(a, "f", "f-20261122")
		}, []string{"f-20261122", "one\n"}, ""},
		{"rotated by somebody else and written on", 0, func(a *archive) {
			a.write(made("s", "two\n"))
			rename(a, "f", "f-20261122")
			a.clock = a.clock.Add(lookEvery)
			a.write(made("s", "three\n"))
		}, []string{"f", "", "f-20261122", "one\n"}, ""},
		{"replaced by another file", 0, func(a *archive) {
			rename(a, "f", "elsewhere")
			must(a.t, os.WriteFile(a.at("f"), []byte("not ours\n"), 0o644))
		}, []string{"elsewhere", "one\n", "f", "not ours\n"}, "is gone, with 4 committed bytes"},
		{"deleted", 0, func(a *archive) { must(a.t, os.Remove(a.at("f"))) }, nil, "is gone, with 4 committed bytes"},
		{"cut by somebody else", 0, func(a *archive) { must(a.t, os.Truncate(a.at("f"), 2)) }, []string{"f", "on"}, "has 2 bytes, 4 were committed"},
		{"folder deleted", 0, func(a *archive) { must(a.t, os.RemoveAll(a.dir)); must(a.t, os.Mkdir(a.dir, 0o755)) }, nil, "is gone"},
		{"a file not known before", 0, func(a *archive) {
			must(a.t, os.WriteFile(a.at("g"), []byte("old\n"), 0o644))
			b := made("s", "two\n")
			a.path.literal[0] = a.at("g")
			a.write(b)
		}, []string{"f", "one\n", "g", "old\n"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newArchive(t, Spec{Path: "f", MaxSize: c.max, Keep: 9, Sync: true})
			a.write(made("s", "one\n"))
			a.commit()
			c.do(a)
			a.start()
			a.holds(c.want...)
			if !strings.Contains(a.log(), c.log) || c.log == "" && strings.Contains(a.log(), "WARN") {
				t.Errorf("log %s, want %q", a.log(), c.log)
			}
			a.start() // a kill while it was cut back
			a.holds(c.want...)
			a.write(made("s", "again\n"))
			a.commit()
			a.start()
			if got := content(t, a.at("f")); !strings.HasSuffix(got, "\nagain\n") && got != "again\n" {
				t.Errorf("then it holds %q", got)
			}
		})
	}
}

// A disk that is not there yet at the start must not stop the process, and nothing
// may be written before all is cut back.
func TestFileCutsBackLater(t *testing.T) {
	a := newArchive(t, Spec{Path: "d/f"})
	a.write(made("s", "one\n"))
	a.commit()
	a.write(made("s", "two\n"))
	must(t, os.Rename(a.at("d"), a.at("hidden")))
	must(t, os.WriteFile(a.at("d"), nil, 0o644)) // ReadDir fails, and not with "no such file"
	a.start()
	b := made("s", "two\n")
	if err := a.Write(bg, b); err == nil || !strings.Contains(err.Error(), "cutting") {
		t.Error("write gives", err)
	}
	must(t, os.Remove(a.at("d")))
	must(t, os.Rename(a.at("hidden"), a.at("d")))
	a.write(b)
	a.holds("d/f", "one\ntwo\n")
}

// What cannot be undone for an output that is gone stays; it holds up nobody.
func TestCutBackOfOneThatIsGone(t *testing.T) {
	a := newArchive(t, Spec{Path: "{source}/f"})
	for _, s := range []string{"a", "b", "c"} {
		a.write(made(s, "one\n"))
	}
	a.commit()
	for _, s := range []string{"a", "b", "c"} {
		a.write(made(s, "two\n"))
	}
	must(t, os.Rename(a.at("b"), a.at("hidden")))
	must(t, os.WriteFile(a.at("b"), nil, 0o644)) // ReadDir fails, and not with "no such file"
	undo := bytes.Replace(a.ledger.undo, []byte(`c/f","`), []byte(`c/f","far":true,"`), 1)
	log, text := logged()
	CutBack("archive", undo, log)
	CutBack("archive", []byte("{"), log)
	a.holds("a/f", "one\n", "b", "", "c/f", "one\ntwo\n", "hidden/f", "one\ntwo\n")
	if strings.Count(text(), "not configured any more") != 2 || !strings.Contains(text(), "stays") {
		t.Error(text())
	}
}

// Kafka may hold a later note of a dead letter than the checkpoint does: the one here
// says so.
func TestNoteOfALetterThatKafkaHolds(t *testing.T) {
	for _, once := range []bool{false, true} {
		var ledger memLedger
		d, err := newDeadLetter(Spec{Name: "bus", DeadLetter: filepath.Join(t.TempDir(), "dead"), ExactlyOnce: once}, Env{Note: ledger.Note, Log: quiet()}.complete())
		must(t, err)
		must(t, d.put(bg, made("a", "1\n"), 0, "refused", "a test"))
		must(t, d.Close())
		if files, err := decodeNote(ledger.undo); err != nil || len(files) != 1 || files[0].Far != once {
			t.Errorf("exactly once %v: %s, %v", once, ledger.undo, err)
		}
	}
}

func TestFileMovedBySomebodyElse(t *testing.T) {
	a := newArchive(t, Spec{Path: "f", Sync: true})
	a.write(made("s", "1\n"))
	must(t, os.Rename(a.at("f"), a.at("f.1")))
	a.write(made("s", "2\n")) // not noticed yet, not lost
	a.clock = a.clock.Add(lookEvery)
	a.write(made("s", "3\n"))
	a.holds("f", "3\n", "f.1", "1\n2\n")
	must(t, os.Remove(a.at("f")))
	a.commit() // noticed by a flush
	a.write(made("s", "4\n"))
	a.holds("f", "4\n", "f.1", "1\n2\n")
	if strings.Count(a.log(), "moved or deleted") != 2 {
		t.Error(a.log())
	}
	must(t, os.Truncate(a.at("f"), 0)) // copytruncate
	a.commit()
	a.write(made("s", "5\n"))
	a.start()
	a.holds("f", "", "f.1", "1\n2\n")
}

// The disk is full, half a batch is written, and somebody deletes or moves the file
// to make room: the half must not stay behind, nor the other half go alone.
func TestFileMovedWithHalfABatch(t *testing.T) {
	a := newArchive(t, Spec{Path: "f", MaxSize: 8, Keep: 9})
	a.write(made("s", "1\n2\n"))
	b := made("s", "3\n4\n5\n6\n7\n")
	calls := 0
	a.disk.write = func(f *os.File, p []byte) (int, error) {
		if calls++; calls == 2 {
			n, _ := f.Write(p[:3])
			return n, errFull
		}
		return f.Write(p)
	}
	if err := a.Write(bg, b); err == nil {
		t.Fatal("no error")
	}
	a.holds("f", "5\n6", "f.1", "1\n2\n3\n4\n")
	must(t, os.Rename(a.at("f"), a.at("away")))
	a.commit() // between two tries
	a.write(b)
	a.holds("away", "", "f", "5\n6\n7\n", "f.1", "1\n2\n3\n4\n")
}

// A commit between two tries of a batch counts it as not taken: a kill after that
// leaves nothing of it, not even what went into a file that is full by now.
func TestFileCutsHalfABatchBack(t *testing.T) {
	a := newArchive(t, Spec{Path: "f", MaxSize: 8, Keep: 9})
	a.write(made("s", "1\n2\n"))
	b := made("s", "3\n4\n5\n6\n7\n")
	calls := 0
	a.disk.write = func(f *os.File, p []byte) (int, error) {
		if calls++; calls == 2 {
			n, _ := f.Write(p[:3])
			return n, errFull
		}
		return f.Write(p)
	}
	if err := a.Write(bg, b); err == nil {
		t.Fatal("no error")
	}
	a.commit()
	a.commit()
	a.holds("f", "5\n6", "f.1", "1\n2\n3\n4\n")
	a.start()
	a.holds("f", "", "f.1", "1\n2\n")
	a.write(b)
	a.holds("f", "7\n", "f.1", "3\n4\n5\n6\n", "f.2", "1\n2\n")
}

// errCrash stands for kill -9: whatever the output was about to do does not happen,
// and nothing that it does later counts.
type errCrash struct{}

// A kill at every single step of a run that writes, rotates and commits.
func TestFileCrashAtEveryStep(t *testing.T) {
	for _, sync := range []bool{false, true} {
		crashed := 0
		for step := 1; ; step++ {
			a := newArchive(t, Spec{Path: "{source}", MaxSize: 100, Keep: 100, Sync: sync})
			if !runUntil(a, step) {
				break
			}
			crashed++
			a.ledger.fail = nil
			a.clock = a.clock.Add(time.Minute)
			a.start()
			a.produce()
			for _, source := range []string{"a", "b"} {
				if got := generations(t, a.at(source)); got != numbered(source, 0, 60) {
					t.Fatalf("killed at step %d, sync %v: %s holds %q", step, sync, source, got)
				}
			}
		}
		if crashed < 50 {
			t.Error("only", crashed, "steps")
		}
	}
}

// produce writes the lines of two sources from their positions on.
func (a *archive) produce() {
	for done := false; !done; {
		done = true
		for _, source := range []string{"a", "b"} {
			next := 0
			fmt.Sscan(a.ledger.at(source), &next)
			for range 2 {
				n := min(next%5+3, 60-next)
				a.write(made(source, numbered(source, next, n)))
				next += n
			}
			undo, err := a.Flush(bg)
			must(a.t, err)
			must(a.t, a.ledger.Commit(position(source, next), undo))
			done = done && next == 60
		}
	}
}

// runUntil lets produce run until it wants to do something for the step-th time,
// and says whether it came to that.
func runUntil(a *archive, step int) (crashed bool) {
	reached := func() {
		if step--; step == 0 {
			panic(errCrash{})
		}
	}
	a.disk.rename = func(from, to string) error { reached(); return os.Rename(from, to) }
	a.disk.sync = func(*os.File) error { reached(); return nil }
	a.disk.write = func(f *os.File, p []byte) (int, error) {
		reached()
		n, err := f.Write(p[:len(p)/2])
		must(a.t, err)
		reached()
		m, err := f.Write(p[n:])
		return n + m, err
	}
	a.ledger.fail = func() error { reached(); return nil }
	defer func() {
		if _, ok := recover().(errCrash); ok {
			crashed = true
		}
	}()
	a.produce()
	return false
}

func FuzzNote(f *testing.F) {
	f.Add([]byte(`{"files":[{"path":"/a","dev":1,"ino":2,"born":3,"size":4}]}`))
	f.Add([]byte(`{"files":[{"path":"a","size":-1}]}`))
	f.Fuzz(func(t *testing.T, undo []byte) {
		files, err := decodeNote(undo)
		if err != nil {
			return
		}
		for _, n := range files {
			if n.Size < 0 || !strings.HasPrefix(n.Path, "/") {
				t.Errorf("taken: %+v", n)
			}
		}
	})
}

func TestIdentity(t *testing.T) {
	a := identity{Dev: 1, Ino: 2, Born: 3}
	for other, want := range map[identity]bool{
		a:                         true,
		{Dev: 9, Ino: 2, Born: 3}: true, // the device has another number after a reboot
		{Dev: 1, Ino: 2, Born: 4}: false,
		{Dev: 1, Ino: 5, Born: 3}: false,
		{Dev: 1, Ino: 2}:          true, // the file system did not tell
		{Dev: 9, Ino: 2}:          false,
	} {
		if a.same(other) != want || other.same(a) != want {
			t.Errorf("%+v the same as %+v: %v", a, other, !want)
		}
	}
}
