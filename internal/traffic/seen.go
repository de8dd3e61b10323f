package traffic

import (
	"maps"
	"math/bits"
	"slices"
)

// pageBits is the numbers of a page. 100 million lines in order need one page at a time (a full one
// costs nothing), in any order 12.5 MB.
const pageBits = 1 << 15

type page struct {
	count int
	bits  [pageBits / 64]uint64
}

var fullPage = func() *page {
	p := &page{count: pageBits}
	for i := range p.bits {
		p.bits[i] = ^uint64(0)
	}
	return p
}()

// numberSet is a set of numbers, small as long as they lie close together.
type numberSet struct {
	pages map[uint64]*page
	count uint64
	key   uint64 // of last
	last  *page
}

// add adds n and says whether it is new.
func (s *numberSet) add(n uint64) bool {
	if key := n / pageBits; s.last == nil || key != s.key {
		s.turnTo(key)
	}
	word, bit := &s.last.bits[n%pageBits/64], uint64(1)<<(n%64)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	s.count++
	if s.last.count++; s.last.count == pageBits {
		s.pages[s.key], s.last = fullPage, fullPage
	}
	return true
}

func (s *numberSet) turnTo(key uint64) {
	if s.pages == nil {
		s.pages = map[uint64]*page{}
	}
	if s.pages[key] == nil {
		s.pages[key] = &page{}
	}
	s.key, s.last = key, s.pages[key]
}

// missing calls found for each run of numbers from lo to hi that the set lacks, in order.
func (s *numberSet) missing(lo, hi uint64, found func(lo, hi uint64)) {
	s.runs(func(first, last uint64) bool {
		if last < lo {
			return true
		}
		if first > lo && lo <= hi {
			found(lo, min(first-1, hi))
		}
		lo = last + 1
		return lo <= hi
	})
	if lo <= hi {
		found(lo, hi)
	}
}

// runs calls f for runs of numbers in the set, in order, until it returns false.
func (s *numberSet) runs(f func(first, last uint64) bool) {
	for _, key := range slices.Sorted(maps.Keys(s.pages)) {
		for i, word := range s.pages[key].bits {
			base := key*pageBits + uint64(i)*64
			for at := 0; word>>at != 0; {
				at += bits.TrailingZeros64(word >> at)
				n := bits.TrailingZeros64(^(word >> at))
				if !f(base+uint64(at), base+uint64(at+n)-1) {
					return
				}
				at += n
			}
		}
	}
}
