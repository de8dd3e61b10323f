package record

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unsafe"
)

var read = time.Date(2026, 11, 22, 8, 34, 1, 5000, time.FixedZone("CET", 3600))

func batch(data string, partial *Partial) *Batch {
	return &Batch{Source: "web", File: "/var/log/a.log", From: 7, Data: []byte(data), Partial: partial, Count: 1, Read: read}
}

func encoded(t testing.TB, name string, b *Batch) string {
	t.Helper()
	format(t, name).Encode(b)
	return string(b.Out)
}

func TestTextAndRaw(t *testing.T) {
	first, middle, last := &Partial{}, &Partial{Piece: 1}, &Partial{Piece: 2, Last: true}
	for _, c := range []struct {
		name, data string
		partial    *Partial
		text, raw  string
	}{
		{"nothing", "", nil, "", ""},
		{"lines", "a\n\nb\n", nil, "web: a\nweb: \nweb: b\n", "a\n\nb\n"},
		{"crlf", "a\r\nb\n", nil, "web: a\nweb: b\n", "a\r\nb\n"},
		{"no line end", "a\r\nb", nil, "web: a\nweb: b\n", "a\r\nb\n"},
		{"cr at the end", "a\r", nil, "web: a\r\n", "a\r\n"},
		{"bad bytes stay", "\xff\x1b\n", nil, "web: \xff\x1b\n", "\xff\x1b\n"},
		{"nul runs", "\x00\x00a\x00\r\n\x00\nb\n\x00", nil, "web: a\x00\nweb: \nweb: b\n", "a\x00\r\n\nb\n"},
		{"first piece", "\x00ab", first, "web: ab\n", "ab"},
		{"middle piece", "\x00ab", middle, "web: \x00ab\n", "\x00ab"},
		{"last piece", "ab\r\n", last, "web: ab\n", "ab\r\n"},
		{"last piece, no line end", "\x00ab", last, "web: \x00ab\n", "\x00ab\n"},
		{"last piece, empty", "", last, "web: \n", "\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := encoded(t, "text", batch(c.data, c.partial)); got != c.text {
				t.Errorf("text %q, want %q", got, c.text)
			}
			if got := encoded(t, "raw", batch(c.data, c.partial)); got != c.raw {
				t.Errorf("raw %q, want %q", got, c.raw)
			}
		})
	}
}

func TestRawDoesNotCopy(t *testing.T) {
	b := batch("a\nb\x00\n", nil)
	b.Data = b.Data[:2]
	encoded(t, "raw", b)
	if unsafe.SliceData(b.Out) != unsafe.SliceData(b.Data) {
		t.Error("raw copied a batch that needs no change")
	}
	b = batch("ab", nil)
	b.Data = b.Data[:1]
	encoded(t, "raw", b)
	if b.Data[:2][1] != 'b' {
		t.Error("the added line end was written into Data")
	}
}

func TestJSON(t *testing.T) {
	b := batch("\x00a\"\\\t\x01\xff\n\n", nil)
	b.Labels = `{"env":"prod"}`
	const head = `{"timestamp":"2026-11-22T07:34:01.000005000Z","host":"host-1","source":"web","file":"/var/log/a.log","offset":`
	want := head + `8,"message":"a\"\\\t\u0001` + "\ufffd" + `","labels":{"env":"prod"}}` + "\n" +
		head + `15,"message":"","labels":{"env":"prod"}}` + "\n"
	if got := encoded(t, "json", b); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	want = head + `7,"message":"ab","partial":{"piece":3,"last":false}}` + "\n"
	if got := encoded(t, "json", batch("ab", &Partial{Piece: 3})); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := encoded(t, "json", batch("\x00", nil)); got != "" {
		t.Errorf("no record, but %q", got)
	}
}

// A byte that is wrong at the end of a long line must not cost a look at the
// whole line for each rune before it, which would take many minutes.
func TestJSONLongLineWithBadEnd(t *testing.T) {
	data := strings.Repeat("日", 1<<20) + "\xff\n"
	start := time.Now()
	out := encoded(t, "json", batch(data, nil))
	if !strings.Contains(out, "日\ufffd\"}\n") {
		t.Error("wrong end: ", out[len(out)-20:])
	}
	if d := time.Since(start); d > time.Minute {
		t.Error("took", d)
	}
}

func TestUnknownFormat(t *testing.T) {
	_, err := NewFormat("xml", "")
	if err == nil || !strings.Contains(err.Error(), "json, raw, terminal, text") {
		t.Error("error does not list the formats: ", err)
	}
}

func TestTerminal(t *testing.T) {
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	data := "a\tb\x1b[2J\x7f\x00\u009b日\xff\r\r\n"
	const want = `: [0m a` + "\t" + `b\x1b[2J\x7f\x00\u009b日\xff\x0d` + "\n"
	got := encoded(t, "terminal", batch(data, nil))
	if !strings.HasPrefix(got, "\x1b[") || strings.ReplaceAll(got, ":\x1b[0m", ": [0m") != got[:5]+"web"+want {
		t.Errorf("got %q", got)
	}
	t.Setenv("NO_COLOR", "1")
	if got := encoded(t, "terminal", batch("a\nb\n", nil)); got != "web: a\nweb: b\n" {
		t.Errorf("without colour %q", got)
	}
	if got := encoded(t, "terminal", batch("\x00", nil)); got != "" {
		t.Errorf("no record, but %q", got)
	}
}

func TestTerminalColors(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range []string{"logdir1", "logdir2", "logdir3", "nginx", "app"} {
		if colorOf(s) != colorOf(strings.Clone(s)) {
			t.Error("colour of", s, "is not stable")
		}
		seen[colorOf(s)] = true
	}
	if len(seen) < 3 {
		t.Error("only", len(seen), "colours for five sources")
	}
}

// reference cuts records in the plainest way.
func reference(data []byte, partial *Partial, from int64) (want []line) {
	parts := bytes.SplitAfter(data, []byte("\n"))
	if partial != nil {
		parts = [][]byte{data}
	}
	for _, p := range parts {
		body := p
		if partial == nil || partial.Piece == 0 {
			body = bytes.TrimLeft(p, "\x00")
		}
		if len(body) > 0 || partial != nil {
			m := string(body)
			if partial == nil || partial.Last {
				if s, ok := strings.CutSuffix(m, "\n"); ok {
					m = strings.TrimSuffix(s, "\r")
				}
			}
			want = append(want, line{from + int64(len(p)-len(body)), m})
		}
		from += int64(len(p))
	}
	return want
}

type object struct {
	Timestamp, Host, Source, File, Message string
	Offset                                 int64
	Labels                                 map[string]string
	Partial                                *Partial
}

func FuzzFormats(f *testing.F) {
	f.Add([]byte("a\nb\r\n"), "src", "/x/y", byte(0))
	f.Add([]byte("\x00\x00日\xed\xa0\x80\"\\\x1f \xc3"), "s\"\xff", "\xe2\x80\xa8\x00", byte(1))
	f.Add([]byte("x"+strings.Repeat("日", 9)+"\n"), "日本語日本語", "", byte(0))
	f.Add([]byte(strings.Repeat("é", 20)+"\xf4\x90\x80\x80\x7f"), "", "", byte(6))
	f.Fuzz(func(t *testing.T, data []byte, source, file string, piece byte) {
		b := &Batch{Source: source, File: file, From: 5, Data: data, Read: read}
		if piece > 0 {
			if i := bytes.IndexByte(data, '\n'); i >= 0 {
				b.Data = data[:i+1]
			}
			b.Partial = &Partial{Piece: int(piece) / 2, Last: piece%2 == 0 || bytes.HasSuffix(b.Data, []byte("\n"))}
		}
		want := reference(b.Data, b.Partial, 5)
		if piece == 0 && CountLines(data) != len(want) {
			t.Fatalf("CountLines(%q) = %d, want %d", data, CountLines(data), len(want))
		}
		var text strings.Builder
		for _, w := range want {
			text.WriteString(source + ": " + w.message + "\n")
		}
		if got := encoded(t, "text", b); got != text.String() {
			t.Fatalf("text %q, want %q", got, text.String())
		}
		sameRaw(t, b)
		sameJSON(t, b, want)
		for _, c := range encoded(t, "terminal", b) {
			if c < ' ' && c != '\n' && c != '\t' && c != 0x1b || c >= 0x7f && c < 0xa0 {
				t.Fatalf("terminal gets %q", c)
			}
		}
	})
}

func sameRaw(t *testing.T, b *Batch) {
	var want []byte
	switch {
	case b.Partial == nil:
		for _, p := range bytes.SplitAfter(b.Data, []byte("\n")) {
			if p = bytes.TrimLeft(p, "\x00"); len(p) > 0 {
				want = append(bytes.TrimSuffix(append(want, p...), []byte("\n")), '\n')
			}
		}
	default:
		want = b.Data
		if b.Partial.Piece == 0 {
			want = bytes.TrimLeft(want, "\x00")
		}
		if b.Partial.Last && !bytes.HasSuffix(want, []byte("\n")) {
			want = append(bytes.Clone(want), '\n')
		}
	}
	if got := encoded(t, "raw", b); got != string(want) {
		t.Fatalf("raw %q, want %q", got, want)
	}
}

func sameJSON(t *testing.T, b *Batch, want []line) {
	out := encoded(t, "json", b)
	got := strings.SplitAfter(out, "\n")
	if len(got) != len(want)+1 {
		t.Fatalf("%d objects, want %d: %q", len(got)-1, len(want), out)
	}
	for i, w := range want {
		ref := object{"2026-11-22T07:34:01.000005000Z", "host-1", b.Source, b.File, w.message, w.offset, nil, b.Partial}
		encoded, _ := json.Marshal(ref)
		var a, z object
		if err := json.Unmarshal(encoded, &z); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(got[i]), &a); err != nil {
			t.Fatalf("%v: %q", err, got[i])
		}
		a.Partial, z.Partial = nil, nil
		if a.Timestamp != z.Timestamp || a.Source != z.Source || a.File != z.File || a.Message != z.Message || a.Offset != z.Offset || a.Host != z.Host {
			t.Fatalf("got  %q\nwant %q", got[i], encoded)
		}
	}
}
