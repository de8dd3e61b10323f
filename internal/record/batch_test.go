package record

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// one line of a test's expectation: what Each yields.
type line struct {
	offset  int64
	message string
}

func lines(b *Batch) (got []line) {
	b.Each(func(offset int64, message []byte) bool {
		got = append(got, line{offset, string(message)})
		return true
	})
	return got
}

func TestEach(t *testing.T) {
	for _, c := range []struct {
		name, data string
		partial    *Partial
		want       []line
	}{
		{"nothing", "", nil, nil},
		{"lines", "a\nbc\n", nil, []line{{100, "a"}, {102, "bc"}}},
		{"empty lines are records", "\n\n", nil, []line{{100, ""}, {101, ""}}},
		{"crlf", "a\r\nb\r\r\n\r\n", nil, []line{{100, "a"}, {103, "b\r"}, {107, ""}}},
		{"last line without an end", "a\nbc\r", nil, []line{{100, "a"}, {102, "bc\r"}}},
		{"nul run", "\x00\x00a\x00b\n\x00c\n", nil, []line{{102, "a\x00b"}, {107, "c"}}},
		{"nuls and a line end", "\x00\x00\n", nil, []line{{102, ""}}},
		{"nuls alone at the end are no record", "a\n\x00\x00", nil, []line{{100, "a"}}},
		{"first piece", "\x00ab", &Partial{}, []line{{101, "ab"}}},
		{"middle piece keeps its nuls", "\x00ab", &Partial{Piece: 1}, []line{{100, "\x00ab"}}},
		{"piece that ends in cr", "ab\r", &Partial{Piece: 1}, []line{{100, "ab\r"}}},
		{"last piece", "ab\r\n", &Partial{Piece: 2, Last: true}, []line{{100, "ab"}}},
		{"last piece, line end alone", "\n", &Partial{Piece: 2, Last: true}, []line{{100, ""}}},
		{"last piece without an end", "ab", &Partial{Piece: 2, Last: true}, []line{{100, "ab"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &Batch{From: 100, Data: []byte(c.data), Partial: c.partial}
			if got := lines(b); !slices.Equal(got, c.want) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if c.partial == nil && CountLines(b.Data) != len(c.want) {
				t.Errorf("CountLines %d, want %d", CountLines(b.Data), len(c.want))
			}
		})
	}
}

func TestEachStops(t *testing.T) {
	b := &Batch{Data: []byte("a\nb\nc\n")}
	n := 0
	for range b.Each {
		if n++; n == 2 {
			break
		}
	}
	if n != 2 {
		t.Errorf("%d records after a break at 2", n)
	}
}

func TestRecycleLetsGoOfMuch(t *testing.T) {
	f := format(t, "json")
	b := NewBatch(1024)
	fill := func(n int) {
		b.Data = append(b.Data[:0], strings.Repeat("x", n)...)
		b.Source, b.Mark, b.Read = "s", append(b.Mark[:0], "mark"...), time.Unix(0, 0)
		b.Partial, b.Count = &Partial{}, 1
		f.Encode(b)
		b.Recycle(1024)
		if len(b.Data)+len(b.Out)+len(b.Mark)+b.Count != 0 || b.Source != "" || b.Partial != nil || !b.Read.IsZero() {
			t.Fatalf("not empty: %+v", b)
		}
	}
	fill(1000)
	if cap(b.Data) != 1024 || cap(b.buf) == 0 || cap(b.Mark) == 0 {
		t.Errorf("memory of usual size not kept: %d, %d, %d", cap(b.Data), cap(b.buf), cap(b.Mark))
	}
	fill(8 << 20)
	if cap(b.Data) != 1024 || cap(b.buf) != 0 {
		t.Errorf("memory of a long line kept: %d, %d", cap(b.Data), cap(b.buf))
	}
}

func format(t testing.TB, name string) *Format {
	t.Helper()
	f, err := NewFormat(name, "host-1")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestTo(t *testing.T) {
	if b := (&Batch{From: 7, Data: []byte("abc")}); b.To() != 10 {
		t.Error(fmt.Sprint("To is ", b.To()))
	}
}
