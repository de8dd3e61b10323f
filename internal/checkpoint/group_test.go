package checkpoint

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// What comes in while a transaction is being written goes into the next, together.
func TestGroupsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sizes []int
		release := make(chan struct{})
		var g group
		g.init(func(all []*change) {
			sizes = append(sizes, len(all))
			<-release
		})
		var wg sync.WaitGroup
		wg.Go(func() { g.do(nil) })
		synctest.Wait() // the first is being written, alone
		for range 20 {
			wg.Go(func() { g.do(nil) })
		}
		synctest.Wait()
		close(release)
		wg.Wait()
		if len(sizes) != 2 || sizes[0] != 1 || sizes[1] != 20 {
			t.Errorf("transactions of %v changes", sizes)
		}
	})
}

// An impossible change must not fail the others of its transaction.
func TestRefusedChangeGoesAlone(t *testing.T) {
	s := open(t, t.TempDir())
	l := ledger(t, s, "screen")
	put := func(key string) *change {
		return &change{fn: func(t *tx) error {
			k := l.key(nil, key)
			return t.put(k, appendRecord(nil, k, 1, []byte("1")))
		}}
	}
	all := []*change{put("a"), put(strings.Repeat("k", 40_000)), put("b")}
	s.transact(all)
	if all[0].err != nil || all[1].err == nil || all[2].err != nil {
		t.Errorf("%v, %.100v, %v", all[0].err, all[1].err, all[2].err)
	}
	if got := content(t, l, ""); got != "a:1 b:1" {
		t.Errorf("stored %q", got)
	}
}

func TestNothingToWrite(t *testing.T) {
	s := open(t, t.TempDir())
	l := ledger(t, s, "screen")
	must(t, l.Register([]Entry{entry("a", "1")}, nil))
	before := readFile(t, s.path)
	must(t, l.Register([]Entry{entry("a", "2")}, []string{"unknown"}))
	if string(readFile(t, s.path)) != string(before) {
		t.Error("a registration of what is there wrote to the disk")
	}
}
