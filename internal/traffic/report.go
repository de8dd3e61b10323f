package traffic

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Report is what a Verifier found, by the source that lines were delivered as.
type Report struct {
	Sources []SourceReport `json:"sources"`
	Bytes   int64          `json:"bytes"` // of messages, with a line end each
}

// SourceReport is what came of one source.
type SourceReport struct {
	Source   string          `json:"source"` // "" where neither the format nor the line tells
	Lines    uint64          `json:"lines"`  // whole lines, repeated ones included
	Expected uint64          `json:"expected"`
	Plain    uint64          `json:"plain,omitempty"` // lines without a number, among Lines
	Faults   map[Kind]uint64 `json:"faults"`
	Examples []Example       `json:"examples,omitempty"`
}

// Example is one fault: a run of numbers of a sequence, or the beginning of a torn line.
type Example struct {
	Kind  Kind   `json:"kind"`
	ID    string `json:"id,omitempty"`
	First uint64 `json:"first,omitempty"`
	Last  uint64 `json:"last,omitempty"`
	Text  string `json:"text,omitempty"`
	At    Place  `json:"at,omitzero"` // none if the end of the input told
}

// Count is the number of faults of these kinds; of all kinds if none is given.
func (r Report) Count(kinds ...Kind) uint64 {
	if len(kinds) == 0 {
		kinds = Kinds
	}
	var n uint64
	for _, s := range r.Sources {
		for _, k := range kinds {
			n += s.Faults[k]
		}
	}
	return n
}

// Lines is the number of whole lines.
func (r Report) Lines() uint64 {
	var n uint64
	for _, s := range r.Sources {
		n += s.Lines
	}
	return n
}

// faults counts, and keeps the first examples of each kind.
type faults struct {
	counts   map[Kind]uint64
	examples []Example
}

// add counts n faults. The example is made only if it is kept.
func (f *faults) add(k Kind, n uint64, example func() Example) {
	if f.counts == nil {
		f.counts = map[Kind]uint64{}
	}
	f.counts[k] += n
	kept := 0
	for _, e := range f.examples {
		if e.Kind == k {
			kept++
		}
	}
	if kept < maxExamples {
		e := example()
		e.Kind = k
		f.examples = append(f.examples, e)
	}
}

func (f *faults) clone() faults {
	return faults{maps.Clone(f.counts), slices.Clone(f.examples)}
}

// Report sums up. The Verifier may go on after it.
func (v *Verifier) Report() Report {
	byName := map[string]*draft{}
	at := func(name string) *draft {
		if byName[name] == nil {
			byName[name] = &draft{}
		}
		return byName[name]
	}
	seen := map[expectation]bool{}
	for name, s := range v.sources {
		d := at(name)
		d.plain, d.faults = s.plain, s.faults.clone()
		for id, q := range s.sequences {
			spans := v.expectedOf(q, func(source string) { seen[expectation{source, id}] = true })
			if spans == nil && v.expected[id] != nil {
				d.misplaced(q)
			} else {
				d.sequence(q, merged(spans))
			}
		}
	}
	for _, p := range v.parts {
		at(p.source).faults.add(Torn, 1, func() Example { return Example{Text: "the last piece is missing", At: p.at} })
	}
	for id, bySource := range v.expected {
		for source, spans := range bySource {
			if !seen[expectation{source, id}] {
				at(source).unseen(id, spans)
			}
		}
	}
	r := Report{Bytes: v.bytes}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		r.Sources = append(r.Sources, byName[name].report(name))
	}
	return r
}

// expectation is what is expected once: a writer's lines, as one source.
type expectation struct{ source, id string }

// expectedOf is what is expected of q, nil if nothing is; met is told of each source that it answers
// for: all that are to deliver the writer, if the delivered form does not tell them apart.
func (v *Verifier) expectedOf(q *sequence, met func(source string)) (spans []span) {
	for source, more := range v.expected[q.id] {
		if q.untold || source == q.source.name {
			spans = append(spans, more...)
			met(source)
		}
	}
	return spans
}

// merged is spans in order and without overlaps.
func merged(spans []span) (out []span) {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.first, b.first) })
	for _, s := range spans {
		if n := len(out); n > 0 && s.first <= out[n-1].last {
			out[n-1].last = max(out[n-1].last, s.last)
		} else {
			out = append(out, s)
		}
	}
	return out
}

// draft is a SourceReport in the making.
type draft struct {
	lines, expected, plain uint64
	faults                 faults
	absent                 []span // expected of sequences that never came
	absentIDs              []string
}

// sequence compares what was seen with what was expected.
func (d *draft) sequence(q *sequence, spans []span) {
	d.lines += q.lines
	open := spans == nil
	if open {
		spans = []span{{1, q.high}}
	}
	wanted, lost := uint64(0), uint64(0)
	for _, s := range spans {
		wanted += s.last - s.first + 1
		q.seen.missing(s.first, s.last, func(lo, hi uint64) {
			lost += hi - lo + 1
			d.faults.add(Lost, hi-lo+1, func() Example { return q.lostExample(lo, hi) })
		})
	}
	d.expected += wanted
	if extra := q.seen.count - min(q.seen.count, wanted-lost); extra > 0 && !open {
		d.faults.add(Unexpected, extra, func() Example { return Example{ID: q.id, Last: q.high, First: q.high} })
	}
}

// misplaced takes lines that were to come as other sources only.
func (d *draft) misplaced(q *sequence) {
	d.lines += q.lines
	d.faults.add(Misplaced, q.seen.count, func() Example {
		e := Example{ID: q.id, Last: q.high, At: q.first}
		q.seen.runs(func(first, _ uint64) bool { e.First = first; return false })
		return e
	})
}

func (q *sequence) lostExample(lo, hi uint64) Example {
	e := Example{ID: q.id, First: lo, Last: hi}
	for _, j := range q.jumps {
		if j.first <= hi && lo <= j.last {
			e.At = j.at
		}
	}
	return e
}

func (d *draft) unseen(id string, spans []span) {
	if d.plain == 0 { // lines without numbers may well be written twice
		spans = merged(slices.Clone(spans))
	}
	for _, s := range spans {
		d.absent, d.absentIDs = append(d.absent, s), append(d.absentIDs, id)
	}
}

// report finishes the draft. Plain lines are counted against the sequences that never came: a
// writer without numbers has one, too.
func (d *draft) report(name string) SourceReport {
	plain := d.plain
	for i, s := range d.absent {
		want := s.last - s.first + 1
		d.expected += want
		got := min(plain, want)
		plain -= got
		if got < want {
			d.faults.add(Lost, want-got, func() Example {
				return Example{ID: d.absentIDs[i], First: s.first + got, Last: s.last}
			})
		}
	}
	if plain > 0 && len(d.absent) > 0 {
		d.faults.add(Repeated, plain, func() Example {
			return Example{Text: fmt.Sprintf("%d more plain lines than expected", plain)}
		})
	}
	slices.SortStableFunc(d.faults.examples, func(a, b Example) int {
		return slices.Index(Kinds, a.Kind) - slices.Index(Kinds, b.Kind)
	})
	return SourceReport{
		Source: name, Lines: d.lines + d.plain, Expected: d.expected, Plain: d.plain,
		Faults: d.faults.counts, Examples: d.faults.examples,
	}
}

// WriteTo writes the report for people.
func (r Report) WriteTo(w io.Writer) (int64, error) {
	var b strings.Builder
	for _, s := range r.Sources {
		s.text(&b)
	}
	n, err := io.WriteString(w, b.String())
	return int64(n), err
}

func (s SourceReport) text(b *strings.Builder) {
	name := s.Source
	if name == "" {
		name = "(no source)"
	}
	fmt.Fprintf(b, "%s: %d lines", name, s.Lines)
	if s.Expected > 0 && s.Expected != s.Lines {
		fmt.Fprintf(b, " of %d", s.Expected)
	}
	var found []string
	for _, k := range Kinds {
		if n := s.Faults[k]; n > 0 {
			found = append(found, fmt.Sprintf("%d %s", n, k))
		}
	}
	switch {
	case len(found) > 0:
		fmt.Fprintf(b, ": %s\n", strings.Join(found, ", "))
	case s.Plain > 0:
		b.WriteString(", counted only: they have no numbers\n")
	default:
		b.WriteString(", each once and in order\n")
	}
	for _, e := range s.Examples {
		fmt.Fprintf(b, "  %-12s  %s\n", e.Kind, e)
	}
}

func (e Example) String() string {
	what := e.ID
	switch {
	case e.ID == "":
		what = fmt.Sprintf("%q", e.Text)
	case e.First == e.Last:
		what += fmt.Sprintf(" %d", e.First)
	default:
		what += fmt.Sprintf(" %d to %d", e.First, e.Last)
	}
	if e.At != (Place{}) {
		what += ", at " + e.At.String()
	}
	return what
}
