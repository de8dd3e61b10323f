package traffic

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// encode is lines 1 to n of a/w1 as a collector would deliver them.
func encode(f Format, n int) string {
	var b strings.Builder
	for i := range uint64(n) {
		line := string(AppendNumbered(nil, "a/w1", i+1, 90))
		switch f {
		case Text:
			b.WriteString("a: " + line)
		case JSON:
			fmt.Fprintf(&b, `{"timestamp":"2026-01-02T03:04:05Z","host":"h","source":"a","file":"/a","offset":%d,"message":%q}`+"\n", i, line[:89])
		default:
			b.WriteString(line)
		}
	}
	return b.String()
}

func TestFormatsAreDetected(t *testing.T) {
	for _, f := range []Format{Text, Raw, JSON} {
		for _, before := range []string{"", "half a line\n", "\n\n"} {
			v := &Verifier{}
			if err := v.Read("x", iotest.HalfReader(strings.NewReader(before+encode(f, 2000))), Auto); err != nil {
				t.Fatal(err)
			}
			r := v.Report()
			if torn := uint64(strings.Count(before, "\n")); r.Count() != torn || r.Count(Torn) != torn || r.Lines() != 2000 {
				t.Errorf("%s after %q: %+v", f, before, r)
			}
		}
	}
	if f := detect(nil); f != Raw {
		t.Errorf("nothing is %s", f)
	}
}

func TestJSONRecords(t *testing.T) {
	message := strings.TrimSuffix(string(AppendNumbered(nil, "a/w1", 1, 0)), "\n")
	for record, ok := range map[string]bool{
		`{"source":"a","message":"M"}`: true,
		`{"source":"a","message":"M","labels":{"env":"x \"y\""},"fields":{"n":[1,2]}}`: true,
		`{ "source" : "a", "message" : "M" }`:                                          true,
		`{"source":"\u0061","message":"M"}`:                                            true,
		`{"source":"a","message":"M"`:                                                  false,
		`{"source":"a","message":"M"}}`:                                                false,
		`{"source":"a","message":"M"}{"source":"a"`:                                    false,
		`{"source":"a","offset":01,"message":"M"}`:                                     false,
		`{"message":"M"}`:                                                              false,
		`{"source":"a"}`:                                                               false,
		`{"source":"a","message":7}`:                                                   false,
		`["a"]`:                                                                        false,
		``:                                                                             false,
	} {
		v := &Verifier{}
		v.record([]byte(strings.ReplaceAll(record, "M", message)), JSON)
		if r := v.Report(); (r.Count(Torn) == 0) != ok || (r.Lines() == 1) != ok {
			t.Errorf("%s: %+v", record, r)
		}
	}
}

// The pieces of over-long lines are one line; those of two files may alternate.
func TestPieces(t *testing.T) {
	line := strings.TrimSuffix(string(AppendNumbered(nil, "a/w1", 1, 3000)), "\n")
	piece := func(file string, n int, last bool, part string) string {
		return fmt.Sprintf(`{"source":"a","file":%q,"message":%q,"partial":{"piece":%d,"last":%v}}`+"\n", file, part, n, last)
	}
	whole := func(file string) []string {
		return []string{piece(file, 0, false, line[:1000]), piece(file, 1, false, line[1000:2000]), piece(file, 2, true, line[2000:])}
	}
	x, y := whole("/x"), whole("/y")
	for _, c := range []struct {
		name        string
		in          []string
		lines, torn uint64
	}{
		{"whole", x, 1, 0},
		{"two files", []string{x[0], y[0], y[1], x[1], x[2], y[2]}, 2, 0},
		{"no end", x[:2], 0, 1},
		{"no middle", []string{x[0], x[2]}, 0, 1},
		{"no beginning", x[1:], 0, 2},
		{"begun again", []string{x[0], x[0], x[1], x[2]}, 1, 1},
	} {
		v := &Verifier{}
		if err := v.Read("x", strings.NewReader(strings.Join(c.in, "")), Auto); err != nil {
			t.Fatal(err)
		}
		if r := v.Report(); r.Lines() != c.lines || r.Count(Torn) != c.torn {
			t.Errorf("%s: %+v", c.name, r)
		}
	}
}

func TestLongLines(t *testing.T) {
	in := io.MultiReader(
		bytes.NewReader(AppendNumbered(nil, "a/w1", 1, 5<<20)),
		io.LimitReader(ones{}, 20<<20), strings.NewReader("\n"),
		bytes.NewReader(bytes.TrimSuffix(AppendNumbered(nil, "a/w1", 2, 2<<20), []byte("\n"))), // no line end
	)
	v := &Verifier{maxLine: 6 << 20}
	if err := v.Read("x", in, Raw); err != nil {
		t.Fatal(err)
	}
	if r := v.Report(); cap(v.long) > 16<<20 || r.Lines() != 2 || r.Count() != 1 || r.Count(Torn) != 1 {
		t.Errorf("%+v", r)
	}
}

type ones struct{}

func (ones) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '1'
	}
	return len(p), nil
}

func TestReadErrors(t *testing.T) {
	bad := errors.New("disk on fire")
	for _, f := range []Format{Auto, Raw} {
		v := &Verifier{}
		in := io.MultiReader(strings.NewReader(encode(Raw, 3)), iotest.ErrReader(bad))
		if err := v.Read("x", in, f); !errors.Is(err, bad) || !strings.Contains(err.Error(), "x") {
			t.Errorf("%s: %v", f, err)
		}
	}
	if err := (&Verifier{}).ReadFile("/does/not/exist", Auto); err == nil {
		t.Error("no error")
	}
}

func FuzzRead(f *testing.F) {
	for _, format := range []Format{Text, Raw, JSON} {
		f.Add(encode(format, 2))
	}
	f.Add(`{"source":"a","message":"b","partial":{"piece":-1,"last":false}}`)
	f.Fuzz(func(t *testing.T, in string) {
		for _, format := range Formats {
			v := &Verifier{}
			if err := v.Read("x", iotest.OneByteReader(strings.NewReader(in)), format); err != nil {
				t.Fatal(err)
			}
			r := v.Report()
			lines := uint64(strings.Count(in, "\n"))
			if in != "" && !strings.HasSuffix(in, "\n") {
				lines++
			}
			if n := r.Lines() + r.Count(Torn); format != JSON && n != lines {
				t.Errorf("%s: %d of %d lines are accounted for", format, n, lines)
			}
			if _, err := r.WriteTo(io.Discard); err != nil {
				t.Error(err)
			}
		}
	})
}

// What parseFlat accepts, encoding/json reads the same way.
func FuzzParseFlat(f *testing.F) {
	f.Add([]byte(encode(JSON, 1)))
	f.Add([]byte(`{"source":"a","source":"b","message":"c","offset":10,"file":""}`))
	f.Add([]byte(`{"offset":00}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		got, ok := parseFlat(line)
		if !ok {
			return
		}
		var want struct{ Source, File, Message *string }
		if err := json.Unmarshal(line, &want); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		same := func(a []byte, b *string) bool { return (a == nil) == (b == nil) && (b == nil || string(a) == *b) }
		if !same(got.source, want.Source) || !same(got.file, want.File) || !same(got.message, want.Message) {
			t.Errorf("%q: %q %q %q", line, got.source, got.file, got.message)
		}
	})
}
