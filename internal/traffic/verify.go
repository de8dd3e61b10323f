package traffic

import (
	"bytes"
	"fmt"
)

// maxExamples is how many examples of each kind of fault are kept for a source.
const maxExamples = 5

// Kind is a kind of fault.
type Kind string

// The kinds of faults.
const (
	Lost       Kind = "lost"         // expected, and not there
	Repeated   Kind = "repeated"     // there more than once
	Torn       Kind = "torn"         // not a line that a Writer wrote: a piece, a mixture, another's
	OutOfOrder Kind = "out of order" // after a higher number of the same writer
	Unexpected Kind = "unexpected"   // whole, but with a number that the writer never came to
	Misplaced  Kind = "wrong source" // whole, but its writer is expected of other sources only
)

// Kinds lists them all.
var Kinds = []Kind{Lost, Repeated, Torn, OutOfOrder, Unexpected, Misplaced}

// Verifier counts what a collector delivered. It expects what Expect says, or else, for each writer
// that it sees, all from 1 to the highest number. Where lines come with the source that they were
// delivered as, they are to come as the expected one. It is for one goroutine.
//
// Its memory depends on how far the numbers are spread (see numberSet), not on how many lines there
// are, and on the longest line.
type Verifier struct {
	sources  map[string]*sourceState
	expected map[string]map[string][]span // by sequence id, then by source
	place    Place
	parts    map[string]*joined
	long     []byte
	bytes    int64
	maxLine  int // 0: MaxLine; tests take less
}

// Place is where a line was read; the line is counted from 1.
type Place struct {
	File string `json:"file,omitempty"`
	Line int64  `json:"line"`
}

func (p Place) String() string {
	if p.File == "" {
		return fmt.Sprintf("line %d", p.Line)
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

type span struct{ first, last uint64 }

// sourceState is what was delivered under one name.
type sourceState struct {
	name      string
	sequences map[string]*sequence
	last      *sequence
	plain     uint64
	faults    faults
}

// sequence is the lines of one writer that were delivered under one name.
type sequence struct {
	id     string
	source *sourceState
	untold bool  // only the lines themselves name the source
	first  Place // of a line
	seen   numberSet
	high   uint64
	lines  uint64
	jumps  []jump
}

// jump is a gap in the numbers, and where it was noticed.
type jump struct {
	span
	at Place
}

// Expect says that the lines first to last of a writer are to be there, as its own source; it adds to
// what was said before.
func (v *Verifier) Expect(id string, first, last uint64) {
	v.ExpectAs(sequenceSource(id), id, first, last)
}

// ExpectAs is Expect for lines that are to be delivered as this source: several may deliver one file.
func (v *Verifier) ExpectAs(source, id string, first, last uint64) {
	if last < first {
		return
	}
	if v.expected == nil {
		v.expected = map[string]map[string][]span{}
	}
	if v.expected[id] == nil {
		v.expected[id] = map[string][]span{}
	}
	v.expected[id][source] = append(v.expected[id][source], span{first, last})
}

// ExpectStats expects what a Writer says that it wrote.
func (v *Verifier) ExpectStats(all ...Stats) {
	for _, st := range all {
		for _, w := range st.Writers {
			v.Expect(w.ID, w.First, w.Last)
		}
	}
}

// Add takes one delivered message, without its line end, and the source it was delivered as; a nil
// source is the one that the line itself names.
func (v *Verifier) Add(source, line []byte) {
	v.place.Line++
	v.add(source, line)
}

func (v *Verifier) add(source, line []byte) {
	v.bytes += int64(len(line)) + 1
	id, n, ok := ParseNumbered(line)
	if !ok {
		s := v.source(source)
		if IsPlain(line) {
			s.plain++
			return
		}
		v.torn(s, line)
		return
	}
	untold := source == nil
	if untold {
		source = id[:bytes.IndexByte(id, '/')]
		if bytes.IndexByte(source, '%') >= 0 {
			source = []byte(sequenceSource(string(id)))
		}
	}
	q := v.source(source).sequence(id)
	q.untold = q.untold || untold
	q.add(n, v.place)
}

func (v *Verifier) torn(s *sourceState, line []byte) {
	s.faults.add(Torn, 1, func() Example {
		return Example{Text: string(line[:min(len(line), 80)]), At: v.place}
	})
}

// source finds what is known of a source; no allocation but the first time.
func (v *Verifier) source(name []byte) *sourceState {
	if s := v.sources[string(name)]; s != nil {
		return s
	}
	if v.sources == nil {
		v.sources = map[string]*sourceState{}
	}
	s := &sourceState{name: string(name), sequences: map[string]*sequence{}}
	v.sources[s.name] = s
	return s
}

func (s *sourceState) sequence(id []byte) *sequence {
	if s.last != nil && string(id) == s.last.id {
		return s.last
	}
	q := s.sequences[string(id)]
	if q == nil {
		q = &sequence{id: string(id), source: s}
		s.sequences[q.id] = q
	}
	s.last = q
	return q
}

func (q *sequence) add(n uint64, at Place) {
	if q.lines++; q.lines == 1 {
		q.first = at
	}
	example := func() Example { return Example{ID: q.id, First: n, Last: n, At: at} }
	switch {
	case !q.seen.add(n):
		q.source.faults.add(Repeated, 1, example)
	case n < q.high:
		q.source.faults.add(OutOfOrder, 1, example)
	default:
		if n > q.high+1 && len(q.jumps) < maxExamples {
			q.jumps = append(q.jumps, jump{span{q.high + 1, n - 1}, at})
		}
		q.high = n
	}
}
