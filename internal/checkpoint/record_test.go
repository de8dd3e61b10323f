package checkpoint

import (
	"bytes"
	"strings"
	"testing"
)

func FuzzKey(f *testing.F) {
	f.Add("screen", "nginx\x00/var/log/x", []byte("E\x05ab"))
	f.Add("", "", []byte{kindNote, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, output, key string, raw []byte) {
		k := appendKey(nil, kindEntry, output, key)
		kind, o, rest, err := splitKey(k)
		if err != nil || kind != kindEntry || string(o) != output || string(rest) != key {
			t.Fatalf("%q came back as %c %q %q %v", k, kind, o, rest, err)
		}
		if kind, o, rest, err := splitKey(raw); err == nil {
			if again := appendKey(nil, kind, string(o), string(rest)); len(again) > len(raw) {
				t.Fatalf("%q read as more than it holds: %q", raw, again)
			}
		}
	})
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte("key"), []byte("value"), int64(7), 3, byte(1))
	f.Fuzz(func(t *testing.T, key, value []byte, seen int64, at int, mask byte) {
		rec := appendRecord(nil, key, seen, value)
		s, v, err := parseRecord(key, rec)
		if err != nil || s != seen || !bytes.Equal(v, value) {
			t.Fatalf("came back as %d %q %v", s, v, err)
		}
		if mask == 0 || at < 0 {
			return
		}
		rec[at%len(rec)] ^= mask
		if _, _, err := parseRecord(key, rec); err == nil {
			t.Fatalf("byte %d changed by %#x unnoticed", at%len(rec), mask)
		}
	})
}

func TestRecordUnderAnotherKey(t *testing.T) {
	rec := appendRecord(nil, []byte("ab"), 1, []byte("c"))
	if _, _, err := parseRecord([]byte("a"), rec); err == nil {
		t.Error("another key accepted")
	}
	if checksum([]byte("ab"), 1, 1, []byte("c")) == checksum([]byte("a"), 1, 1, []byte("bc")) {
		t.Error("a byte changed sides unnoticed")
	}
	if _, _, err := parseRecord([]byte("a"), rec[:recordHeader-1]); err == nil {
		t.Error("a cut record accepted")
	}
}

func TestRecordOfNewerVersion(t *testing.T) {
	rec := appendRecord(nil, []byte("a"), 1, nil)
	rec[0] = 9
	sum := checksum([]byte("a"), 9, 1, nil)
	for i := range 8 {
		rec[9+i] = byte(sum >> (8 * i))
	}
	if _, _, err := parseRecord([]byte("a"), rec); err == nil || !strings.Contains(err.Error(), "newer") {
		t.Errorf("got %v", err)
	}
}

func TestTotalNoticesExchange(t *testing.T) {
	var a, b total
	x := appendRecord(nil, []byte("x"), 1, []byte("1"))
	y := appendRecord(nil, []byte("x"), 1, []byte("2"))
	a.add(x)
	b.add(y)
	if a == b {
		t.Error("two contents, one total")
	}
	b.add(x)
	b.remove(y)
	if a != b {
		t.Error("the order of changes counts")
	}
	if got, txid, err := parseTotal(a.record(7)); err != nil || got != a || txid != 7 {
		t.Errorf("%v came back as %v, %v", a, got, err)
	}
}
