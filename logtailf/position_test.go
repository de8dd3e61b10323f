package logtailf

import (
	"bytes"
	"testing"
)

func somePositions() []position {
	return []position{
		{},
		{offset: 1 << 40, piece: 3, head: sum{1024, 1<<64 - 1}, tail: sum{7, 42},
			ident: identity{1 << 60, 2, 1700000000e9}, began: -1, size: 9, mtime: 5,
			file: "/var/log/a.log", place: "/var/log/a.log.1", kind: "gz", done: true},
		{kind: "zst", skip: true, file: "\x00\xff"},
	}
}

func TestPositionIsParsedAsItWasMade(t *testing.T) {
	for _, p := range somePositions() {
		got, err := parsePosition(p.append([]byte("x"))[1:])
		if err != nil || got != p {
			t.Errorf("%+v became %+v, %v", p, got, err)
		}
	}
}

func TestPositionThatIsNone(t *testing.T) {
	p := somePositions()[1]
	b := p.append(nil)
	for n := range b {
		if _, err := parsePosition(b[:n]); err == nil {
			t.Errorf("the first %d of %d bytes are a position", n, len(b))
		}
	}
	if _, err := parsePosition(append(b, 0)); err == nil {
		t.Error("a position with something behind it")
	}
	for _, bad := range []position{{offset: -1}, {head: sum{n: headMax + 1}}, {tail: sum{n: tailMax + 1}}} {
		if _, err := parsePosition(bad.append(nil)); err == nil {
			t.Errorf("%+v is a position", bad)
		}
	}
}

func FuzzPosition(f *testing.F) {
	for _, p := range somePositions() {
		f.Add(p.append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parsePosition(b)
		if err != nil {
			return
		}
		again, err := parsePosition(p.append(nil))
		if err != nil || again != p {
			t.Fatalf("%+v became %+v, %v", p, again, err)
		}
		if p.head.n > headMax || p.tail.n > tailMax || p.offset < 0 || p.head.n < 0 || p.tail.n < 0 {
			t.Fatalf("%+v would overrun the scratch memory", p)
		}
		if _, err := (sum{p.tail.n, p.tail.hash}).matches(bytes.NewReader(nil), p.offset, make([]byte, tailMax)); err != nil && p.offset >= int64(p.tail.n) {
			t.Fatal(err)
		}
	})
}

func TestPrefer(t *testing.T) {
	kept, own := position{offset: 7, place: "/old"}, position{offset: 7, place: "/new", done: true}
	behind, piece := position{offset: 6, place: "/new"}, position{offset: 7, piece: 1}
	ahead := position{offset: 8, place: "/new"}
	for _, c := range []struct {
		own  []byte
		want position
	}{
		{own.append(nil), own}, {ahead.append(nil), ahead}, {behind.append(nil), kept}, {piece.append(nil), kept}, {nil, kept}, {[]byte("no"), kept},
	} {
		got, err := Prefer(kept.append(nil), c.own)
		if p, _ := parsePosition(got); err != nil || p != c.want {
			t.Errorf("%+v, %v, want %+v", p, err, c.want)
		}
	}
	if _, err := Prefer([]byte("no"), own.append(nil)); err == nil {
		t.Error("kept nonsense was taken")
	}
}
