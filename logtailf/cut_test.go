package logtailf

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCut(t *testing.T) {
	for _, c := range []struct {
		name         string
		data         string
		piece        int
		ended, final bool
		n            int
		kind         cutKind
	}{
		{"nothing", "", 0, true, false, 0, cutNone},
		{"nothing, finally", "", 0, true, true, 0, cutNone},
		{"one line", "ab\n", 0, true, false, 3, cutLines},
		{"lines and a half", "ab\ncd\nef", 0, true, false, 6, cutLines},
		{"half a line", "ab", 0, true, false, 0, cutNone},
		{"half a line, more to come at once", "ab", 0, false, false, 0, cutGrow},
		{"half a line, finally", "ab", 0, true, true, 2, cutLines},
		{"a line of just max_line", "12345678\n", 0, true, false, 9, cutLines},
		{"just max_line and no end", "12345678", 0, true, false, 0, cutNone},
		{"one more", "123456789", 0, true, false, 8, cutPiece},
		{"lines before a long one", "ab\n123456789\n", 0, true, false, 3, cutLines},
		{"a long line first", "123456789\nab\n", 0, true, false, 8, cutPiece},
		{"the rest of it", "9\nab\n", 1, true, false, 2, cutLastPiece},
		{"an empty rest", "\nab\n", 1, true, false, 1, cutLastPiece},
		{"another piece", "123456789", 1, true, false, 8, cutPiece},
		{"a piece that is not finished", "123", 1, true, false, 0, cutNone},
		{"a piece that is not all there", "123", 1, false, false, 0, cutGrow},
		{"a last piece without an end", "123", 1, true, true, 3, cutLastPiece},
		{"a rune on the border", "1234567ü9", 0, true, false, 7, cutPiece},
		{"four bytes on the border", "12345😀9ab", 0, true, false, 5, cutPiece},
		{"not UTF-8", "\xbf\xbf\xbf\xbf\xbf\xbf\xbf\xbf\xbf\xbf", 0, true, false, 8, cutPiece},
		{"NULs do not make a line long", strings.Repeat("\x00", 20) + "ab\n", 0, true, false, 23, cutLines},
		{"a long line behind NULs", "\x00\x00\x00123456789\n", 0, true, false, 11, cutPiece},
		{"empty lines", "\n\n\n", 0, true, false, 3, cutLines},
	} {
		n, kind := cut([]byte(c.data), c.piece, 8, c.ended, c.final)
		if n != c.n || kind != c.kind {
			t.Errorf("%s: %d bytes of kind %d, not %d of %d", c.name, n, kind, c.n, c.kind)
		}
	}
}

// FuzzCut cuts data to its end: every byte once, no line longer than max_line in one
// piece, no character split, no piece of two lines.
func FuzzCut(f *testing.F) {
	f.Add([]byte("one\ntwo\nthree and more\n"), 8)
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00ab\nüüüüüüüüüüü"), 4)
	f.Fuzz(func(t *testing.T, data []byte, maxLine int) {
		maxLine = 4 + max(0, maxLine)%100
		valid := utf8.Valid(data)
		for rest, piece := data, 0; ; {
			n, kind := cut(rest, piece, maxLine, true, true)
			if kind == cutNone || kind == cutGrow {
				if len(rest) > 0 {
					t.Fatalf("%q is left over", rest)
				}
				return
			}
			got := rest[:n]
			if n == 0 {
				t.Fatal("an empty batch")
			}
			if valid && !utf8.Valid(got) {
				t.Fatalf("%q splits a character", got)
			}
			switch kind {
			case cutLines:
				piece = 0
				for _, line := range bytes.Split(got, newline) {
					if len(bytes.TrimLeft(line, "\x00")) > maxLine {
						t.Fatalf("a line of %d bytes", len(line))
					}
				}
			case cutPiece:
				piece++
				if bytes.IndexByte(got, '\n') >= 0 || len(bytes.TrimLeft(got, "\x00")) > maxLine {
					t.Fatalf("a piece %q", got)
				}
			case cutLastPiece:
				piece = 0
				if i := bytes.IndexByte(got, '\n'); i >= 0 && i != n-1 {
					t.Fatalf("a last piece %q", got)
				}
			}
			rest = rest[n:]
		}
	})
}
