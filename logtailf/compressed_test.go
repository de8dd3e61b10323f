package logtailf

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func numbered(from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, "line %d of some text that can be packed\n", i)
	}
	return b.String()
}

// pack compresses each part as a gzip member or zstd frame of its own.
func pack(t testing.TB, kind string, parts ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, part := range parts {
		var w io.WriteCloser
		switch kind {
		case "gz":
			z := gzip.NewWriter(&b)
			z.Name = "log.txt.1" // as gzip itself writes it
			w = z
		case "zst":
			z, err := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true))
			if err != nil {
				t.Fatal(err)
			}
			w = z
		}
		if _, err := io.WriteString(w, part); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func packedFile(t testing.TB, data []byte) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "packed")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func unpack(t testing.TB, f *os.File, kind string) (string, error) {
	t.Helper()
	r, err := openCompressed(f, kind)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var b strings.Builder
	_, err = io.CopyBuffer(struct{ io.Writer }{&b}, struct{ io.Reader }{r}, make([]byte, 1000))
	if _, again := r.Read(make([]byte, 1)); again == nil || err != nil && again != err {
		t.Errorf("the end does not stay: %v, then %v", err, again)
	}
	return b.String(), err
}

func TestCompressedWhole(t *testing.T) {
	one, two := numbered(0, 20_000), numbered(20_000, 20_100)
	for _, kind := range []string{"gz", "zst"} {
		for name, data := range map[string][]byte{
			"one part":          pack(t, kind, one+two),
			"two parts":         pack(t, kind, one, two),
			"an empty part too": pack(t, kind, one, "", two, ""),
		} {
			f := packedFile(t, data)
			f.Seek(7, io.SeekStart) // the offset is the owner's
			got, err := unpack(t, f, kind)
			if err != nil || got != one+two {
				t.Errorf("%s, %s: %d bytes of %d, error %v", kind, name, len(got), len(one+two), err)
			}
			if at, _ := f.Seek(0, io.SeekCurrent); at != 7 {
				t.Errorf("%s, %s: the file's offset went to %d", kind, name, at)
			}
		}
	}
	if got, err := unpack(t, packedFile(t, pack(t, "gz", "")), "gz"); got != "" || err != nil {
		t.Errorf("content of no bytes: %q, %v", got, err)
	}
	padded := append(pack(t, "gz", one), make([]byte, 1000)...)
	if got, err := unpack(t, packedFile(t, padded), "gz"); got != one || err != nil {
		t.Errorf("padded with zeros: %d bytes, %v", len(got), err)
	}
}

// Cut at every byte: what comes is a beginning of the content, and never looks
// whole unless it ends with a part.
func TestCompressedCut(t *testing.T) {
	one, two := numbered(0, 60), numbered(60, 100)
	for _, kind := range []string{"gz", "zst"} {
		first := len(pack(t, kind, one))
		data := pack(t, kind, one, two)
		for n := range data {
			got, err := unpack(t, packedFile(t, data[:n]), kind)
			if !strings.HasPrefix(one+two, got) {
				t.Fatalf("%s cut at %d: bytes that were never written", kind, n)
			}
			if n == first {
				if err != nil || got != one {
					t.Errorf("%s cut behind the first part: %d bytes, %v", kind, len(got), err)
				}
				continue
			}
			if !errors.Is(err, ErrDamaged) || errors.Is(err, io.EOF) {
				t.Fatalf("%s cut at %d of %d: error %v", kind, n, len(data), err)
			}
			if n > first && len(got) < len(one) {
				t.Fatalf("%s cut at %d: the whole first part did not come, %d bytes did", kind, n, len(got))
			}
			if want := fmt.Sprintf("byte %d of", len(got)); !strings.Contains(err.Error(), want) {
				t.Fatalf("%s cut at %d: %q does not say %q", kind, n, err, want)
			}
		}
		// All of the content is there, only the checksum is short.
		if got, err := unpack(t, packedFile(t, data[:len(data)-1]), kind); got != one+two || !errors.Is(err, ErrDamaged) {
			t.Errorf("%s without its last byte: %d bytes of %d, %v", kind, len(got), len(one+two), err)
		}
	}
}

func TestCompressedDamaged(t *testing.T) {
	one := numbered(0, 50_000)
	for _, kind := range []string{"gz", "zst"} {
		data := pack(t, kind, one)
		flipped := bytes.Clone(data)
		flipped[len(flipped)-2] ^= 0x10 // in the checksum of zstd, the length of gzip
		for name, c := range map[string]struct {
			data []byte
			want string
		}{
			"wrong checksum":   {flipped, one},
			"rubbish behind":   {append(bytes.Clone(data), "rubbish"...), one},
			"nothing":          {nil, ""},
			"plain text":       {[]byte(one), ""},
			"only zeros":       {make([]byte, 5000), ""},
			"the other format": {pack(t, map[string]string{"gz": "zst", "zst": "gz"}[kind], one), ""},
		} {
			got, err := unpack(t, packedFile(t, c.data), kind)
			if got != c.want || !errors.Is(err, ErrDamaged) || errors.Is(err, io.EOF) {
				t.Errorf("%s, %s: %d bytes of %d, error %v", kind, name, len(got), len(c.want), err)
			}
		}
	}
}

// A file that cannot be read is not a damaged one.
func TestCompressedReadError(t *testing.T) {
	for _, kind := range []string{"gz", "zst"} {
		f := packedFile(t, pack(t, kind, numbered(0, 100)))
		f.Close()
		if _, err := unpack(t, f, kind); !errors.Is(err, fs.ErrClosed) || errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if _, err := openCompressed(packedFile(t, nil), "bz2"); err == nil {
		t.Error("bz2 was opened")
	}
}

// Headers that promise much must not cost much.
func TestCompressedHugeWindow(t *testing.T) {
	magic := []byte{0x28, 0xb5, 0x2f, 0xfd}
	huge := [][]byte{
		append(bytes.Clone(magic), 0x00, 0xff), // a window of 3.75 TiB
		append(bytes.Clone(magic), 0x00, 0x89), // 144 MiB
		append(bytes.Clone(magic), 0xe0, 0, 0, 0, 0, 0, 0, 0, 0x10),
		append(bytes.Clone(magic), 0xa0, 0, 0, 0, 0x10), // 256 MiB in one segment
	}
	for i, data := range huge {
		data = append(data, 1, 0, 0) // a last block, raw and empty
		f := packedFile(t, data)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := unpack(t, f, "zst")
		runtime.ReadMemStats(&after)
		if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "more than 128 MiB") {
			t.Errorf("%d: %v", i, err)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 16<<20 {
			t.Errorf("%d: %d MiB allocated", i, used>>20)
		}
	}
}

func FuzzCompressed(f *testing.F) {
	for _, kind := range []string{"gz", "zst"} {
		data := pack(f, kind, numbered(0, 50), "x")
		f.Add(data, kind == "gz")
		f.Add(data[:len(data)/2], kind == "gz")
		f.Add(data[3:], kind == "gz")
	}
	path := filepath.Join(f.TempDir(), "packed")
	f.Fuzz(func(t *testing.T, data []byte, isGzip bool) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		kind := map[bool]string{true: "gz", false: "zst"}[isGzip]
		r, err := openCompressed(file, kind)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		n, err := io.Copy(io.Discard, io.LimitReader(r, 4<<20))
		if err != nil && !errors.Is(err, ErrDamaged) {
			t.Fatalf("after %d bytes: %v", n, err)
		}
		if err != nil && !strings.Contains(err.Error(), fmt.Sprintf("byte %d of", n)) {
			t.Fatalf("after %d bytes: %v", n, err)
		}
	})
}

// NULs at the end of what was a preallocated file keep nothing from being let go.
func TestCompressedWithNULsAtTheEnd(t *testing.T) {
	w := newWorld(t, "app.log")
	w.write("app.log", "1\n")
	w.start()
	w.expect("1")
	w.stop()
	w.write("app.log", "2\n"+string(make([]byte, 20000)))
	w.rename("app.log", "app.log.1")
	w.compress("app.log.1", ".gz")
	w.write("app.log", "3\n")
	w.start()
	w.expect("1", "2", "3")
	w.eventually("it to be let go", func() bool { s := w.follower.Stats(); return s.Pending == 0 && s.LagBytes == 0 })
}

// A damaged file is read once, not with every look.
func TestDamagedIsSaidOnce(t *testing.T) {
	w := newWorld(t, "*.gz")
	w.deaf = true
	w.write("a.gz", "not gzip at all")
	w.write("b.gz", "nor this")
	w.start()
	w.eventually("both to be said", func() bool { return w.sink.damage() >= 2 })
	for range 5 {
		was := w.sink.damage()
		w.write("b.gz", ".")
		w.eventually("the next look", func() bool { return w.sink.damage() > was })
	}
	if n := w.sink.damage() - 5; n > 2 {
		t.Errorf("damage of one file was reported %d times", n-1)
	}
}
