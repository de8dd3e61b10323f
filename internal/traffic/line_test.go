package traffic

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"testing"
	"time"
)

func TestNumberedRoundTrip(t *testing.T) {
	for _, source := range []string{"logdir1", "a b/c: d", "größe", "100%"} {
		for _, size := range []int{0, 50, 51, 52, 53, 200, 20_000} {
			want := SequenceID(source, 3)
			line := AppendNumbered(nil, want, 42, size)
			id, n, ok := ParseNumbered(bytes.TrimSuffix(line, []byte("\n")))
			if !ok || string(id) != want || n != 42 {
				t.Fatalf("%q size %d: got %q %d %v from %q", source, size, id, n, ok, line)
			}
			if min := len(AppendNumbered(nil, want, 42, 0)); len(line) != max(size, min) {
				t.Errorf("%q: %d bytes, want %d", source, len(line), max(size, min))
			}
			if bytes.ContainsRune(line[:len(line)-1], '\n') || sequenceSource(want) != source {
				t.Errorf("%q: line %q, source %q", source, line, sequenceSource(want))
			}
		}
	}
}

func TestNumberedLineIsShown(t *testing.T) {
	got := string(AppendNumbered(nil, "logdir1/w1", 42, 0))
	if want := "logdir1/w1 000000000042 1b0d5bf1\n"; len(got) != len(want) || got[:24] != want[:24] {
		t.Errorf("got %q, want one like %q", got, want)
	}
}

// A collector that cuts, merges or overlays lines must not get away with it.
func TestDamagedLinesAreNoLines(t *testing.T) {
	a := AppendNumbered(nil, "a/w1", 1, 80)
	b := AppendNumbered(nil, "a/w1", 2, 80)
	a, b = a[:len(a)-1], b[:len(b)-1]
	check := func(what string, line []byte) {
		t.Helper()
		if _, _, ok := ParseNumbered(line); ok {
			t.Errorf("%s passes: %q", what, line)
		}
	}
	for i := 1; i < len(a); i++ {
		check("the beginning of a line", a[:i])
		check("the end of a line", a[i:])
		check("a mixture", append(bytes.Clone(a[:i]), b...))
		check("two ends", append(bytes.Clone(a), b[i:]...))
		flipped := bytes.Clone(a)
		flipped[i] ^= 0x20
		check("a changed byte", flipped)
	}
	check("two lines", append(bytes.Clone(a), b...))
	check("NULs before", append([]byte{0, 0}, a...))
	check("a carriage return", append(bytes.Clone(a), '\r'))
	check("an empty line", nil)
	for _, body := range []string{"a/w1 12 ", "noslash 000000000001 ", "a/w1 00000000000x ", "a/w1", "a/w1 9999999999999999999 ", "a/w1 0000000000001 ", " "} {
		sum := crc32.Checksum([]byte(body), castagnoli)
		check("a checksum over nonsense", fmt.Appendf(nil, "%s%08x", body, sum))
	}
}

func TestPlain(t *testing.T) {
	at := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	if got := string(AppendPlain(nil, at, 0)); got != "Hello current time is 2026-01-02 15:04:05\n" {
		t.Errorf("got %q", got)
	}
	filled := AppendPlain(nil, at, 100)
	if len(filled) != 100 || !IsPlain(filled[:99]) {
		t.Errorf("filled: %q", filled)
	}
	for line, want := range map[string]bool{
		"Hello current time is 2026-01-02 15:04:05":  true,
		"Hello current time is 2026-01-02 15:04:0":   false,
		"ello current time is 2026-01-02 15:04:05":   false,
		"Hello current time is 2026-01-02 15:04:05H": false,
		"Hello current time is 2026x01-02 15:04:05":  false,
		"Hello current time is 2026-01-02 15:04:a5":  false,
		"": false,
	} {
		if IsPlain([]byte(line)) != want {
			t.Errorf("%q: want %v", line, want)
		}
	}
}

func FuzzParseNumbered(f *testing.F) {
	f.Add(AppendNumbered(nil, "a/w1", 1, 0))
	f.Add([]byte("a/w1 000000000001 00000000"))
	f.Fuzz(func(t *testing.T, line []byte) {
		// Make the checksum right, so that what lies behind it is reached.
		for _, l := range [][]byte{line, appendSum(bytes.Clone(line), crc32.Checksum(line, castagnoli))} {
			id, n, ok := ParseNumbered(l)
			if !ok {
				continue
			}
			head := append(appendNumber(append(bytes.Clone(id), ' '), n), ' ')
			if n > maxNumber || len(id) < 2 || !bytes.HasPrefix(l, head) {
				t.Errorf("%q read as %q %d", l, id, n)
			}
		}
	})
}

func TestNoAllocationPerLine(t *testing.T) {
	buf := make([]byte, 0, 1024)
	line := AppendNumbered(nil, "logdir1/w1", 1, 100)
	record := []byte(`{"timestamp":"2026-11-22T07:34:01.123456789Z","host":"h","source":"logdir1","file":"/a/b","offset":123,"message":"` + string(line[:99]) + `"}`)
	v := &Verifier{}
	now := time.Now()
	for name, f := range map[string]func(){
		"numbered": func() { buf = AppendNumbered(buf[:0], "logdir1/w1", 77, 200) },
		"plain":    func() { buf = AppendPlain(buf[:0], now, 200) },
		"json":     func() { v.record(record, JSON) },
		"raw":      func() { v.record(line[:99], Raw) },
	} {
		f()
		if name == "json" || name == "raw" {
			for range maxExamples {
				f() // the first examples of repeated lines are kept
			}
		}
		if n := testing.AllocsPerRun(100, f); n > 0 {
			t.Errorf("%s: %v allocations a line", name, n)
		}
	}
}

func BenchmarkAppendNumbered(b *testing.B) {
	b.ReportAllocs()
	b.SetBytes(200)
	var buf []byte
	for n := uint64(1); b.Loop(); n++ {
		buf = AppendNumbered(buf[:0], "logdir1/w1", n, 200)
	}
}

func BenchmarkVerifyJSON(b *testing.B) {
	b.ReportAllocs()
	v := &Verifier{}
	var line, record []byte
	for n := uint64(1); b.Loop(); n++ {
		line = AppendNumbered(line[:0], "logdir1/w1", n, 130)
		record = append(record[:0], `{"timestamp":"2026-11-22T07:34:01.123456789Z","host":"h","source":"logdir1","file":"/a/b/c","offset":123,"message":"`...)
		record = append(append(record, line[:len(line)-1]...), `"}`...)
		v.record(record, JSON)
	}
	b.SetBytes(int64(len(record)))
}

func BenchmarkVerifyRaw(b *testing.B) {
	b.ReportAllocs()
	b.SetBytes(130)
	v := &Verifier{}
	var line []byte
	for n := uint64(1); b.Loop(); n++ {
		line = AppendNumbered(line[:0], "logdir1/w1", n, 130)
		v.record(line[:len(line)-1], Raw)
	}
}
