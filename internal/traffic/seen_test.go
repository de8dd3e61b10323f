package traffic

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// The set against a map, with numbers that make full, half-full and far pages.
func TestNumberSet(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var s numberSet
	model := map[uint64]bool{}
	add := func(n uint64) {
		if s.add(n) == model[n] {
			t.Fatalf("add(%d) says new: %v", n, model[n])
		}
		model[n] = true
	}
	for n := uint64(1); n < 3*pageBits; n++ {
		if n%70_000 != 0 {
			add(n)
		}
	}
	for range 20_000 {
		add(4*pageBits + rng.Uint64N(pageBits))
	}
	for _, n := range []uint64{5, pageBits, 63, 64, maxNumber, maxNumber - 1, maxNumber} {
		add(n)
	}
	if s.count != uint64(len(model)) {
		t.Errorf("count %d, want %d", s.count, len(model))
	}
	for _, r := range []span{{1, 5 * pageBits}, {0, 0}, {70_000, 70_000}, {69_999, 70_001}, {4 * pageBits, 4*pageBits + 100}, {9, 8}} {
		var want, got []uint64
		for n := r.first; n <= r.last; n++ {
			if !model[n] {
				want = append(want, n)
			}
		}
		end := uint64(0)
		s.missing(r.first, r.last, func(lo, hi uint64) {
			if len(got) > 0 && lo <= end+1 {
				t.Errorf("runs %d and %d are one", end, lo)
			}
			for end = lo; end <= hi; end++ {
				got = append(got, end)
			}
			end--
		})
		if !slices.Equal(got, want) {
			t.Errorf("%v: %d missing, want %d", r, len(got), len(want))
		}
	}
}

// 100 million lines in order fit into a few pages; a mistyped expectation ends at once.
func TestNumberSetIsSmall(t *testing.T) {
	var s numberSet
	for n := range uint64(100 * pageBits) {
		s.add(n)
	}
	own := 0
	for _, p := range s.pages {
		if p != fullPage {
			own++
		}
	}
	if own > 1 {
		t.Errorf("%d pages of its own", own)
	}
	var runs []span
	s.missing(1, 1<<63, func(lo, hi uint64) { runs = append(runs, span{lo, hi}) })
	if !slices.Equal(runs, []span{{100 * pageBits, 1 << 63}}) {
		t.Errorf("missing %v", runs)
	}
}
