package checkpoint

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
)

func TestOpenMakesFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "state")
	open(t, dir)
	st, err := os.Stat(dir)
	must(t, err)
	if runtime.GOOS != "windows" && st.Mode().Perm() != 0o700 {
		t.Errorf("mode %v", st.Mode())
	}
}

func TestOpenWhereAFileIs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	if _, err := Open(file, quiet); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v", err)
	}
}

// A crash while the checkpoint was made leaves any bytes under the other name.
func TestOpenAfterCrashInCreate(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, newName), []byte("half"), 0o600))
	s := open(t, dir)
	must(t, ledger(t, s, "a").Register(entries(1, "%d"), nil))
	if _, err := os.Stat(filepath.Join(dir, newName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", newName, err)
	}
}

func TestLockedTwiceInOneProcess(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	_, err := Open(dir, quiet)
	var locked *LockedError
	if !errors.As(err, &locked) || locked.PID != os.Getpid() {
		t.Fatalf("got %v", err)
	}
	if want := fmt.Sprintf("(pid %d)", os.Getpid()); !strings.Contains(err.Error(), want) {
		t.Errorf("%q does not say %q", err, want)
	}
	must(t, s.Close())
	open(t, dir)
}

// The bbolt command, for one, locks the file and not the folder.
func TestLockedByBoltTool(t *testing.T) {
	dir := t.TempDir()
	must(t, open(t, dir).Close())
	db, err := bolt.Open(dbPath(dir), 0o600, &bolt.Options{NoFreelistSync: true})
	must(t, err)
	defer db.Close()
	_, err = Open(dir, quiet)
	var locked *LockedError
	if !errors.As(err, &locked) || locked.PID != 0 || strings.Contains(err.Error(), "pid") {
		t.Errorf("got %v", err)
	}
}

func TestUseAfterClose(t *testing.T) {
	s := open(t, t.TempDir())
	l := ledger(t, s, "a")
	must(t, s.Close())
	if err := l.Commit(entries(1, "%d"), nil); err == nil {
		t.Error("Commit worked")
	}
	if _, err := l.Load(""); err == nil {
		t.Error("Load worked")
	}
}

// An error at any place in the write of a transaction leaves the store usable.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	l := ledger(t, s, "screen")
	must(t, l.Commit([]Entry{entry("a", "1")}, []byte("note 1")))
	s.db.MaxSize = 1
	l.Take("a", []byte("2"))
	big := append(entries(2000, "%0100d"), entry("a", "2"))
	for range 3 {
		if err := l.Commit(big, []byte("note 2")); err == nil {
			t.Fatal("a commit into a full disk worked")
		}
	}
	if got := content(t, l, ""); got != "a:2" || string(l.Undo()) != "note 1" {
		t.Errorf("after the errors: %q, %q", got, l.Undo())
	}
	s.db.MaxSize = 0
	must(t, l.Commit(big, []byte("note 2")))
	must(t, s.Close())
	l = ledger(t, open(t, dir), "screen")
	if all, err := l.Load(""); err != nil || len(all) != 2001 || string(l.Undo()) != "note 2" {
		t.Errorf("later: %d entries, %q, %v", len(all), l.Undo(), err)
	}
}

func TestFileGoneWhileInUse(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not let go of an open file")
	}
	for name, spoil := range map[string]func(path string) error{
		"removed":  os.Remove,
		"replaced": func(p string) error { return errors.Join(os.Remove(p), os.WriteFile(p, make([]byte, 1<<20), 0o600)) },
		"cut off":  func(p string) error { return os.Truncate(p, 8192) },
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, t.TempDir())
			l := ledger(t, s, "screen")
			must(t, l.Commit(entries(500, "%d"), nil))
			must(t, spoil(s.path))
			err := l.Commit(entries(1, "new %d"), nil)
			if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), s.path) {
				t.Errorf("Commit: %v", err)
			}
			if _, err := l.Load(""); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("Load: %v", err)
			}
		})
	}
}

// A page that goes bad under a running store ends one call, not the process.
func TestPanicBecomesError(t *testing.T) {
	s := open(t, t.TempDir())
	var damaged *DamagedError
	err := s.view(func(*bolt.Bucket) error { panic("page 7: bad") })
	if !errors.As(err, &damaged) || !strings.Contains(err.Error(), "page 7") {
		t.Errorf("got %v", err)
	}
	must(t, ledger(t, s, "a").Commit(entries(1, "%d"), nil))
}

// Whatever bbolt's splits and merges make of the tree, it is never called damaged.
func TestSoundFileIsNeverRefused(t *testing.T) {
	rounds := 150
	if *long {
		rounds = 5000
	}
	dir := t.TempDir()
	s := open(t, dir)
	s.db.NoSync = true
	rnd := rand.New(rand.NewPCG(1, 2))
	model := map[string]string{}
	for round := range rounds {
		l := ledger(t, s, "screen")
		scale := []int{1, 30, 300, 1500}[rnd.IntN(4)]
		var put []Entry
		var del []string
		for range rnd.IntN(scale) {
			k := strings.Repeat("k", rnd.IntN(3)*rnd.IntN(150)) + fmt.Sprint(rnd.IntN(3000))
			if rnd.IntN(5) > round/10%5 {
				v := fmt.Sprint(round, strings.Repeat("v", rnd.IntN(2)*rnd.IntN(6000/scale+2)))
				put, model[k] = append(put, entry(k, v)), v
			} else {
				del = append(del, k)
			}
		}
		must(t, l.Commit(put, nil))
		must(t, l.Register(nil, del))
		for _, k := range del {
			delete(model, k)
		}
		if n, err := verifyFile(s.path); err != nil || n != uint64(len(model)) {
			t.Fatalf("round %d: %d records of %d, %v", round, n, len(model), err)
		}
	}
	must(t, s.Close())
	got := content(t, ledger(t, open(t, dir), "screen"), "")
	if want := strings.TrimSuffix(strings.TrimPrefix(fmt.Sprint(model), "map["), "]"); got != want {
		t.Error("the content differs from the model")
	}
}
