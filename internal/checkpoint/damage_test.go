package checkpoint

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// A victim is a closed checkpoint that is damaged again and again.
type victim struct {
	dir     string
	sound   []byte
	want    string
	refused int // how often the damage was noticed
}

func newVictim(t *testing.T, n int) *victim {
	t.Helper()
	v := &victim{dir: t.TempDir()}
	s := open(t, v.dir)
	l := ledger(t, s, "screen")
	must(t, l.Commit(entries(n, "position %d"), []byte("note")))
	must(t, l.Commit(entries(n/3, "moved %d"), []byte("note 2")))
	must(t, ledger(t, s, "archive").Commit(entries(n/2, "%d"), nil))
	v.want = state(t, s)
	must(t, s.Close())
	v.sound = readFile(t, dbPath(v.dir))
	return v
}

func state(t *testing.T, s *Store) string {
	t.Helper()
	a, b := ledger(t, s, "screen"), ledger(t, s, "archive")
	return strings.Join([]string{content(t, a, ""), string(a.Undo()), content(t, b, ""), string(b.Undo())}, "|")
}

// try opens the checkpoint with the bytes given: it is refused and not changed, or
// it holds exactly what was stored.
func (v *victim) try(t *testing.T, what string, at int, b []byte) {
	t.Helper()
	path := dbPath(v.dir)
	overwrite(t, path, b)
	s, err := Open(v.dir, quiet)
	if err == nil {
		got := state(t, s)
		must(t, s.Close())
		if got != v.want {
			t.Fatalf("%s %d: opened with other content", what, at)
		}
		return
	}
	v.refused++
	var damaged *DamagedError
	if !errors.As(err, &damaged) {
		t.Fatalf("%s %d: %v", what, at, err)
	}
	if !bytes.Equal(readFile(t, path), b) {
		t.Fatalf("%s %d: reported and changed", what, at)
	}
}

// overwrite is os.WriteFile without the cost of giving up the file's pages first.
func overwrite(t *testing.T, path string, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	defer f.Close()
	must(t, f.Truncate(int64(len(b))))
	_, err = f.WriteAt(b, 0)
	must(t, err)
}

// used is the number of bytes in pages that may be in use.
func (v *victim) used() int {
	m, err := parseMeta(1, v.sound[os.Getpagesize():])
	if err != nil {
		panic(err)
	}
	return int(m.pages) * m.pageSize
}

// sizes are the shapes of a store: empty, in the root page, one page, a tree.
func sizes(t *testing.T, test func(t *testing.T, v *victim)) {
	for name, n := range map[string]int{"empty": 0, "inline": 3, "page": 15, "tree": 300} {
		t.Run(name, func(t *testing.T) { test(t, newVictim(t, n)) })
	}
}

func TestTruncated(t *testing.T) {
	sizes(t, func(t *testing.T, v *victim) {
		for at := 0; at < len(v.sound); at += 512 {
			for _, n := range []int{at - 1, at, at + 1} {
				if n >= 0 && (n == at || at%os.Getpagesize() == 0) {
					v.try(t, "cut off at", n, v.sound[:n])
				}
			}
		}
		if v.refused == 0 {
			t.Error("never noticed")
		}
	})
}

func TestPagesLost(t *testing.T) {
	sizes(t, func(t *testing.T, v *victim) {
		size := os.Getpagesize()
		for at := 0; at < v.used(); at += size {
			zeroed := bytes.Clone(v.sound)
			clear(zeroed[at : at+size])
			v.try(t, "page zeroed at", at, zeroed)
			for from := 0; from < v.used(); from += size {
				moved := bytes.Clone(v.sound)
				copy(moved[at:at+size], v.sound[from:])
				v.try(t, "page overwritten at", at, moved)
			}
		}
		if v.refused == 0 {
			t.Error("never noticed")
		}
	})
}

// A write that the disk acknowledged and lost leaves an older version of a page,
// perfectly valid in itself, with the same first key. Only the total can tell.
// (Meta pages of just before are left out: a store whose last meta page was lost is
// the store before its last commit, and nothing in it can tell.)
func TestStalePages(t *testing.T) {
	for _, n := range []int{15, 300} {
		v := newVictim(t, n)
		size := os.Getpagesize()
		older := [][]byte{v.sound}
		for i := range 6 {
			s := open(t, v.dir)
			must(t, ledger(t, s, "screen").Commit(entries(n, "position "+string(rune('a'+i))+"%d"), nil))
			v.want = state(t, s)
			must(t, s.Close())
			v.sound = readFile(t, dbPath(v.dir))
			for j, old := range older {
				first := 2 * size
				if len(older)-j >= 3 {
					first = 0
				}
				for at := first; at+size <= min(len(old), v.used()); at += size {
					stale := bytes.Clone(v.sound)
					copy(stale[at:at+size], old[at:])
					v.try(t, "page of before at", at, stale)
				}
			}
			overwrite(t, dbPath(v.dir), v.sound)
			older = append(older, v.sound)
		}
		if v.refused < 5 {
			t.Errorf("noticed %d times only", v.refused)
		}
	}
}

// bbolt believes a list of free pages, which a bad one would make it overwrite.
func TestFreeListIsRefused(t *testing.T) {
	v := newVictim(t, 3)
	db, err := bolt.Open(dbPath(v.dir), 0o600, nil)
	must(t, err)
	must(t, db.Close())
	v.try(t, "free list", 0, readFile(t, dbPath(v.dir)))
	if _, err := Open(v.dir, quiet); err == nil || !strings.Contains(err.Error(), "free list") {
		t.Errorf("got %v", err)
	}
}

// Two records that changed places are each valid, and so is their sum.
func TestRecordsExchanged(t *testing.T) {
	v := newVictim(t, 3)
	screen := ledger(t, open(t, t.TempDir()), "screen")
	// In every page that holds them: some are of earlier transactions, and free.
	find := func(key string) (found [][]byte) {
		k := screen.key(nil, key)
		for from := 0; ; {
			i := bytes.Index(v.sound[from:], k)
			if i < 0 {
				return found
			}
			from += i
			found = append(found, v.sound[from:from+len(k)+recordHeader+len("position 1")])
			from += len(k)
		}
	}
	all := entries(3, "")
	these, those := find(all[1].Key), find(all[2].Key)
	if len(these) != len(those) {
		t.Fatalf("%d and %d records", len(these), len(those))
	}
	for i, a := range these {
		c := bytes.Clone(a)
		copy(a, those[i])
		copy(those[i], c)
	}
	v.try(t, "exchanged", 0, v.sound)
	if v.refused != 1 {
		t.Error("not noticed")
	}
}

// A branch page among its own children is a loop.
func TestLoop(t *testing.T) {
	v := newVictim(t, 300)
	size := os.Getpagesize()
	for at := 2 * size; at < v.used(); at += size {
		if flags := order.Uint16(v.sound[at+8:]); flags == flagBranch {
			order.PutUint64(v.sound[at+pageHeader+8:], uint64(at/size))
		}
	}
	v.try(t, "loop", 0, v.sound)
	if v.refused != 1 {
		t.Error("not noticed")
	}
}

func TestBitsFlipped(t *testing.T) {
	sizes(t, func(t *testing.T, v *victim) {
		rnd := rand.New(rand.NewPCG(3, uint64(len(v.sound))))
		n := 800
		if *long {
			n = v.used() * 8
		}
		b := bytes.Clone(v.sound)
		for i := range n {
			bit := i
			if !*long {
				bit = rnd.IntN(v.used() * 8)
			}
			b[bit/8] ^= 1 << (bit % 8)
			v.try(t, "bit flipped at", bit, b)
			b[bit/8] = v.sound[bit/8]
		}
		if v.refused == 0 {
			t.Error("never noticed")
		}
	})
}

// Every bit of the headers and elements, where one changes which keys there are.
func TestHeaderBitsFlipped(t *testing.T) {
	sizes(t, func(t *testing.T, v *victim) {
		b := bytes.Clone(v.sound)
		for page := 0; page < v.used(); page += os.Getpagesize() {
			if !*long && page > 6*os.Getpagesize() && order.Uint16(b[page+8:]) != flagBranch {
				continue // more leaves of the same kind
			}
			for bit := page * 8; bit < (page+pageHeader+2*elementSize)*8; bit++ {
				b[bit/8] ^= 1 << (bit % 8)
				v.try(t, "bit flipped at", bit, b)
				b[bit/8] = v.sound[bit/8]
			}
		}
	})
}

func TestDamageMessage(t *testing.T) {
	v := newVictim(t, 3)
	must(t, os.Truncate(dbPath(v.dir), 5000))
	_, err := Open(v.dir, quiet)
	for _, want := range []string{dbPath(v.dir), "damaged: it is cut off: 5000 bytes", "mv '" + dbPath(v.dir), "nothing was changed"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\ndoes not say %q", err, want)
		}
	}
	if got := moveCommand("linux", "/it's", "/b"); got != `mv '/it'\''s' '/b'` {
		t.Error(got)
	}
	if got := moveCommand("windows", `C:\a b`, `C:\c`); got != `move "C:\a b" "C:\c"` {
		t.Error(got)
	}
}

// Any bytes at all: no panic, no hang, and what is accepted is opened.
func FuzzVerify(f *testing.F) {
	dir := f.TempDir()
	s := open(f, dir)
	must(f, ledger(f, s, "screen").Commit(entries(120, "%d"), []byte("note")))
	must(f, s.Close())
	sound := readFile(f, dbPath(dir))
	f.Add(uint32(0), []byte{})
	f.Add(uint32(3*4096), []byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, at uint32, patch []byte) {
		b := bytes.Clone(sound)
		copy(b[int(at)%len(b):], patch)
		must(t, os.WriteFile(dbPath(dir), b, 0o600))
		s, err := Open(dir, quiet)
		if err == nil {
			must(t, s.Close())
		} else if damaged := (*DamagedError)(nil); !errors.As(err, &damaged) {
			t.Fatal(err)
		}
	})
}
