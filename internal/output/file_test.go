package output

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/record"
)

// An archive is a file output with what it needs around it.
type archive struct {
	*file
	t      *testing.T
	dir    string
	ledger *memLedger
	log    func() string
	clock  time.Time
	spec   Spec
}

func newArchive(t *testing.T, spec Spec) *archive {
	a := &archive{t: t, dir: t.TempDir(), ledger: &memLedger{}, clock: hour, spec: spec}
	a.spec.Name, a.spec.Type = "archive", "file"
	a.spec.Path = filepath.Join(a.dir, spec.Path)
	a.start()
	return a
}

// start opens it with the note that was committed last, whatever was written since:
// what a kill leaves.
func (a *archive) start() {
	a.t.Helper()
	if a.file != nil {
		must(a.t, a.Close()) // descriptors only
	}
	log, text := logged()
	o, err := Open(a.spec, Env{Host: "h1", Undo: a.ledger.undo, Note: a.ledger.Note, Log: log, Now: func() time.Time { return a.clock }})
	must(a.t, err)
	a.file, a.log = o.(*file), text
	a.t.Cleanup(func() { o.Close() })
}

func (a *archive) write(batches ...*record.Batch) {
	a.t.Helper()
	for _, b := range batches {
		must(a.t, a.Write(bg, b))
	}
}

func (a *archive) commit() {
	a.t.Helper()
	undo, err := a.Flush(bg)
	must(a.t, err)
	must(a.t, a.ledger.Commit(nil, undo))
}

// holds says what is in a file: name, content, name, content, …
func (a *archive) holds(want ...string) {
	a.t.Helper()
	var got []string
	for _, n := range names(a.t, a.dir) {
		got = append(got, n, content(a.t, filepath.Join(a.dir, n)))
	}
	if !slices.Equal(got, want) {
		a.t.Errorf("got  %q\nwant %q", got, want)
	}
}

func (a *archive) at(name string) string { return filepath.Join(a.dir, name) }

func TestFileNames(t *testing.T) {
	a := newArchive(t, Spec{Path: "{host}/{source}-{dd}.{hh}"})
	later := made("a", "3\n")
	later.Read = hour.Add(20 * time.Hour)
	a.write(made("a", "1\n"), made("../b", "2\n"), later, made("a", "4\n"))
	a.holds("h1/.._b-22.07", "2\n", "h1/a-22.07", "1\n4\n", "h1/a-23.03", "3\n")
}

func TestFileRotates(t *testing.T) {
	for _, c := range []struct {
		name string
		max  int64
		keep int
		in   string // batches separated by |
		want []string
	}{
		{"never", 0, 1, "aa\n|bb\n", []string{"f", "aa\nbb\n"}},
		{"between batches", 6, 5, "aa\n|bb\n|cc\n", []string{"f", "cc\n", "f.1", "aa\nbb\n"}},
		{"within a batch", 6, 5, "aa\nbb\ncc\ndd\nee\n", []string{"f", "ee\n", "f.1", "cc\ndd\n", "f.2", "aa\nbb\n"}},
		{"keeps the newest", 3, 2, "aa\nbb\n|cc\ndd\n", []string{"f", "dd\n", "f.1", "cc\n", "f.2", "bb\n"}},
		{"keep below 1", 3, 0, "aa\nbb\ncc\n", []string{"f", "cc\n", "f.1", "bb\n"}},
		{"a record that is larger", 4, 5, "aa\nlong long\nbb\n", []string{"f", "bb\n", "f.1", "long long\n", "f.2", "aa\n"}},
		{"larger, first, alone", 4, 5, "long long\n", []string{"f", "long long\n"}},
		{"full to the byte", 3, 5, "aa\n", []string{"f", "aa\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newArchive(t, Spec{Path: "f", MaxSize: c.max, Keep: c.keep})
			for in := range strings.SplitSeq(c.in, "|") {
				a.write(made("s", in))
			}
			a.holds(c.want...)
		})
	}
}

func TestFileRotationUsesGaps(t *testing.T) {
	a := newArchive(t, Spec{Path: "f", MaxSize: 3, Keep: 4})
	must(t, os.WriteFile(a.at("f.1"), []byte("one"), 0o644))
	must(t, os.WriteFile(a.at("f.3"), []byte("three"), 0o644))
	a.write(made("s", "aa\nbb\n"))
	a.holds("f", "bb\n", "f.1", "aa\n", "f.2", "one", "f.3", "three")
}

func TestFilePieces(t *testing.T) {
	a := newArchive(t, Spec{Path: "f"})
	a.write(pieces()...)
	a.holds("f", joined)
	a = newArchive(t, Spec{Path: "f", MaxSize: 4, Keep: 9}) // a line is not torn
	a.write(pieces()[:3]...)
	a.write(made("b", "b\n"))
	a.holds("f", "b\n", "f.1", "aaAAaa\n")
	a = newArchive(t, Spec{Path: "{hh}"})
	next := piece("a", "AA\n", 1, true)
	next.Read = hour.Add(time.Hour)
	a.write(piece("a", "aa", 0, false), next)
	a.holds("07", "aaAA\n")
}

func TestFileGoesOnAfterTornLine(t *testing.T) {
	a := newArchive(t, Spec{Path: "f"})
	must(t, os.WriteFile(a.at("f"), []byte("torn"), 0o644))
	a.write(made("s", "1\n"))
	a.holds("f", "torn\n1\n")

	a.write(piece("s", "aa", 0, false))
	a.commit()
	a.start()
	a.write(piece("s", "bb\n", 1, true))
	a.holds("f", "torn\n1\naabb\n")
}

func TestFileKeepsFewOpen(t *testing.T) {
	a := newArchive(t, Spec{Path: "{source}", Sync: true})
	for round := range 2 {
		for i := range 3 * maxOpen {
			a.clock = a.clock.Add(time.Millisecond)
			a.write(made(fmt.Sprint("s", i), fmt.Sprint(round, "\n")))
		}
	}
	open := 0
	for _, f := range a.files {
		if f.f != nil {
			open++
		}
	}
	if open > maxOpen {
		t.Error(open, "open files")
	}
	for i := range 3 * maxOpen {
		if got := content(t, a.at(fmt.Sprint("s", i))); got != "0\n1\n" {
			t.Fatalf("s%d holds %q", i, got)
		}
	}
}

func TestFileForgets(t *testing.T) {
	a := newArchive(t, Spec{Path: "{source}"})
	for i := range maxKnown + 10 {
		a.clock = a.clock.Add(time.Millisecond)
		a.write(made(fmt.Sprint("s", i), "1\n"))
	}
	a.commit()
	if n := len(a.files); n != maxKnown || a.files[a.at("s0")] != nil {
		t.Errorf("%d files known, the oldest: %v", n, a.files[a.at("s0")])
	}
	a.clock = a.clock.Add(idle)
	a.write(made("new", "1\n"))
	a.commit()
	if n := len(a.files); n != 1 || strings.Count(string(a.ledger.undo), "path") != 1 {
		t.Errorf("after an hour %d files known, note %s", n, a.ledger.undo)
	}
	a.write(made("s0", "2\n")) // noted again, at its present length
	a.start()
	if got := content(t, a.at("s0")); got != "1\n" {
		t.Errorf("s0 holds %q", got)
	}
}

func TestFileSyncFails(t *testing.T) {
	a := newArchive(t, Spec{Path: "f", Sync: true})
	a.write(made("s", "1\n"))
	a.commit()
	a.disk.sync = func(*os.File) error { return errFull }
	a.write(made("s", "2\n"))
	for range 2 { // a second sync would succeed and prove nothing
		_, err := a.Flush(bg)
		var lost *LostError
		if !errors.As(err, &lost) || !errors.Is(err, errFull) {
			t.Fatal("flush gives", err)
		}
		a.disk.sync = syncData
	}
	if err := a.Write(bg, made("s", "3\n")); !final(err) {
		t.Error("write after it gives", err)
	}
	a.start()
	a.holds("f", "1\n")
}

func TestFileCannotBeOpened(t *testing.T) {
	a := newArchive(t, Spec{Path: "d/f"})
	b := made("s", "1\n")
	try := func(want string) {
		t.Helper()
		if err := a.Write(bg, b); err == nil || final(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	must(t, os.WriteFile(a.at("d"), nil, 0o644))
	try("d")
	must(t, os.Remove(a.at("d")))
	must(t, os.MkdirAll(a.at("d/f"), 0o755))
	try("not a regular file")
	must(t, os.Remove(a.at("d/f")))
	a.ledger.fail = func() error { return errFull }
	try("noting the length of " + a.at("d/f"))
	a.holds("d/f", "")
	a.ledger.fail = nil
	if os.Geteuid() > 0 {
		must(t, os.Remove(a.at("d/f")))
		must(t, os.Chmod(a.at("d"), 0))
		a.start()
		try("permission denied")
		must(t, os.Chmod(a.at("d"), 0o755))
	}
	a.write(b)
	a.holds("d/f", "1\n")
}

func TestFileRotationFails(t *testing.T) {
	a := newArchive(t, Spec{Path: "f", MaxSize: 3, Keep: 2, Sync: true})
	a.write(made("s", "aa\n"))
	fails := 3
	a.disk.rename = func(from, to string) error {
		if fails--; fails >= 0 {
			return errFull
		}
		return os.Rename(from, to)
	}
	deliver(t, a, "bb\ncc\n")
	a.holds("f", "cc\n", "f.1", "bb\n", "f.2", "aa\n")
}
