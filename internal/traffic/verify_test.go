package traffic

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
)

// deliver gives the numbers of one writer to a Verifier; "-" is a torn line.
func deliver(v *Verifier, source, id string, numbers ...any) {
	for _, n := range numbers {
		line := []byte("a/w1 0000")
		if n, ok := n.(int); ok {
			line = AppendNumbered(nil, id, uint64(n), 0)
			line = line[:len(line)-1]
		}
		if source == "" {
			v.Add(nil, line)
		} else {
			v.Add([]byte(source), line)
		}
	}
}

func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name    string
		numbers []any
		expect  []span
		want    map[Kind]uint64
		text    []string
	}{
		{"right", []any{1, 2, 3}, nil, nil, []string{"a: 3 lines, each once and in order\n"}},
		{"lost inside", []any{1, 2, 6, 7}, nil, map[Kind]uint64{Lost: 3}, []string{"a: 4 lines of 7: 3 lost\n", "a/w1 3 to 5, at line 3\n"}},
		{"lost at the beginning", []any{2, 3}, nil, map[Kind]uint64{Lost: 1}, []string{"a/w1 1, at line 1\n"}},
		{"lost at the end", []any{1, 2}, []span{{1, 4}}, map[Kind]uint64{Lost: 2}, []string{"2 lines of 4", "a/w1 3 to 4\n"}},
		{"repeated", []any{1, 2, 1, 2, 2, 3}, nil, map[Kind]uint64{Repeated: 3}, []string{"6 lines of 3: 3 repeated", "a/w1 1, at line 3\n"}},
		{"late", []any{1, 4, 2, 3, 5}, nil, map[Kind]uint64{OutOfOrder: 2}, []string{"2 out of order", "a/w1 2, at line 3\n"}},
		{"torn", []any{1, "-", 2}, nil, map[Kind]uint64{Torn: 1}, []string{`"a/w1 0000", at line 2`}},
		{"unexpected", []any{1, 2, 3}, []span{{1, 2}}, map[Kind]uint64{Unexpected: 1}, []string{"1 unexpected"}},
		{"continued", []any{11, 12, 30, 31}, []span{{11, 12}, {30, 31}}, nil, nil},
		{"expected twice", []any{1, 2, 3, 4}, []span{{2, 3}, {1, 3}}, map[Kind]uint64{Unexpected: 1}, []string{"4 lines of 3: 1 unexpected"}},
		{"all at once", []any{2, 2, 1, "-", 9}, []span{{1, 5}},
			map[Kind]uint64{Lost: 3, Repeated: 1, Torn: 1, OutOfOrder: 1, Unexpected: 1}, nil},
	} {
		v := &Verifier{}
		for _, s := range c.expect {
			v.Expect("a/w1", s.first, s.last)
		}
		deliver(v, "a", "a/w1", c.numbers...)
		for range 2 { // a report changes nothing
			r := v.Report()
			if !maps.Equal(r.Sources[0].Faults, c.want) {
				t.Errorf("%s: %v, want %v", c.name, r.Sources[0].Faults, c.want)
			}
			var text strings.Builder
			if _, err := r.WriteTo(&text); err != nil {
				t.Fatal(err)
			}
			for _, want := range c.text {
				if !strings.Contains(text.String(), want) {
					t.Errorf("%s: no %q in\n%s", c.name, want, text.String())
				}
			}
		}
	}
}

func TestWhatNeverCameIsLost(t *testing.T) {
	v := &Verifier{}
	v.ExpectStats(Stats{Writers: []Sequence{{"b/w1", 1, 10}, {"b/w2", 5, 6}, {"b/w3", 1, 0}}})
	deliver(v, "", "b/w1", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
	r := v.Report()
	if r.Count() != 2 || r.Count(Lost) != 2 || r.Sources[0].Source != "b" || r.Sources[0].Expected != 12 {
		t.Errorf("%+v", r)
	}
}

// Two sources that match one file both deliver it; each is checked by itself.
func TestTwoSourcesOneFile(t *testing.T) {
	for _, c := range []struct {
		a, other []any
		want     []map[Kind]uint64
	}{
		{[]any{1, 2, 3}, []any{1, 2, 3}, []map[Kind]uint64{nil, nil}},
		{[]any{1, 2, 3}, []any{1, 3}, []map[Kind]uint64{nil, {Lost: 1}}},
		{[]any{1, 2, 3}, nil, []map[Kind]uint64{nil, {Lost: 3}}},
		{nil, []any{1, 2, 3}, []map[Kind]uint64{{Lost: 3}, nil}},
	} {
		v := &Verifier{}
		v.Expect("a/w1", 1, 3)
		v.ExpectAs("other", "a/w1", 1, 3)
		deliver(v, "a", "a/w1", c.a...)
		deliver(v, "other", "a/w1", c.other...)
		r := v.Report()
		if len(r.Sources) != 2 || !maps.Equal(r.Sources[0].Faults, c.want[0]) || !maps.Equal(r.Sources[1].Faults, c.want[1]) {
			t.Errorf("%+v", r)
		}
	}
}

func TestWrongSource(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(v *Verifier)
		a, b map[Kind]uint64
	}{
		{"all", func(v *Verifier) { deliver(v, "b", "a/w1", 1, 2, 3, 4, 5) }, map[Kind]uint64{Lost: 5}, map[Kind]uint64{Misplaced: 5}},
		{"some", func(v *Verifier) { deliver(v, "a", "a/w1", 1, 3, 5); deliver(v, "b", "a/w1", 2, 4, 4) },
			map[Kind]uint64{Lost: 2}, map[Kind]uint64{Misplaced: 2, Repeated: 1}},
		{"besides", func(v *Verifier) { deliver(v, "a", "a/w1", 1, 2, 3, 4, 5); deliver(v, "b", "a/w1", 2) }, nil, map[Kind]uint64{Misplaced: 1}},
		{"not told", func(v *Verifier) { deliver(v, "", "a/w1", 1, 2, 3, 4, 5); deliver(v, "b", "b/w1", 1) }, nil, nil},
		{"not expected of anybody", func(v *Verifier) { deliver(v, "a", "a/w1", 1, 2, 3, 4, 5); deliver(v, "b", "a/w2", 1, 3) }, nil, map[Kind]uint64{Lost: 1}},
	} {
		v := &Verifier{}
		v.Expect("a/w1", 1, 5)
		c.do(v)
		r := v.Report()
		if len(r.Sources) != 2 || !maps.Equal(r.Sources[0].Faults, c.a) || !maps.Equal(r.Sources[1].Faults, c.b) {
			t.Errorf("%s: %+v", c.name, r)
		}
	}
}

// Where the lines alone name the source, each is expected of all that are to deliver it together.
func TestSourceThatNothingTells(t *testing.T) {
	v := &Verifier{}
	id := SequenceID("my app", 1)
	v.Expect(id, 1, 3)
	v.Expect(SequenceID("my app", 2), 1, 1)
	v.ExpectAs("other", id, 2, 4)
	deliver(v, "", id, 1, 2, 3, 4)
	r := v.Report()
	if len(r.Sources) != 1 || r.Sources[0].Source != "my app" || r.Sources[0].Expected != 5 || r.Count() != 1 || r.Count(Lost) != 1 {
		t.Errorf("%+v", r)
	}
}

func TestPlainLinesAreCounted(t *testing.T) {
	for got, want := range map[int]map[Kind]uint64{18: {Lost: 2}, 20: nil, 23: {Repeated: 3}} {
		v := &Verifier{}
		v.Expect("a/w1", 1, 15)
		v.Expect("a/w2", 1, 5)
		for range got {
			v.Add([]byte("a"), []byte("Hello current time is 2026-01-02 15:04:05"))
		}
		if r := v.Report(); !maps.Equal(r.Sources[0].Faults, want) || r.Lines() != uint64(got) {
			t.Errorf("%d of 20: %+v", got, r)
		}
	}
}

// What is expected twice and never came is lost once; a line without a number may be written twice.
func TestExpectedTwice(t *testing.T) {
	for got, want := range map[int]map[Kind]uint64{0: {Lost: 7}, 12: nil} {
		v := &Verifier{}
		v.Expect("a/w1", 1, 5)
		v.Expect("a/w1", 1, 7)
		for range got {
			v.Add([]byte("a"), []byte("Hello current time is 2026-01-02 15:04:05"))
		}
		if r := v.Report(); !maps.Equal(r.Sources[0].Faults, want) {
			t.Errorf("%d lines: %+v", got, r)
		}
	}
}

func TestExamplesAreFew(t *testing.T) {
	v := &Verifier{}
	for n := range 1000 {
		deliver(v, "a", "a/w1", 2*n+2, 2*n+2, "-")
	}
	r := v.Report()
	s := r.Sources[0]
	if len(s.Examples) != 3*maxExamples || s.Faults[Repeated] != 1000 || s.Faults[Torn] != 1000 || s.Faults[Lost] != 1000 {
		t.Errorf("%+v", s)
	}
	data, err := json.Marshal(r)
	if err != nil || !strings.Contains(string(data), `"out of order"`) && !strings.Contains(string(data), `"torn":1000`) {
		t.Errorf("%s %v", data, err)
	}
}

func TestPlaceIsShown(t *testing.T) {
	v := &Verifier{}
	in := fmt.Sprintf("%s%s", AppendNumbered(nil, "a/w1", 1, 0), AppendNumbered(nil, "a/w1", 3, 0))
	if err := v.Read("out.log", strings.NewReader(in), Raw); err != nil {
		t.Fatal(err)
	}
	if e := v.Report().Sources[0].Examples[0]; e.String() != "a/w1 2, at out.log:2" {
		t.Errorf("%s", e)
	}
}
