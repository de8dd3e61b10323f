package logtailf

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/logcatchsys/logcatchsys/internal/record"
)

// generationOf opens a file with this content for a reader.
func generationOf(t testing.TB, content []byte) (*generation, *os.File) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	w, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	h, err := NewHandles(0).openFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close(); h.close() })
	return &generation{handle: h}, w
}

// readAll reads g to its end.
func readAll(t *testing.T, r *reader, g *generation, block int, final bool) (out []string) {
	t.Helper()
	for {
		b := record.NewBatch(block)
		from := g.read
		got, err := r.next(g, b, final)
		if err != nil {
			t.Fatal(err)
		}
		if got == replaced {
			return append(out, "REPLACED")
		}
		if got == atEnd {
			return out
		}
		if b.From < from || g.read != b.To() || len(b.Data) == 0 {
			t.Fatalf("a batch [%d, %d) after %d, then %d", b.From, b.To(), from, g.read)
		}
		b.Each(func(offset int64, m []byte) bool {
			out = append(out, string(m))
			return true
		})
	}
}

func wantLines(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("%s: %q, not %q", what, got, want)
	}
}

func TestReaderWithSmallBlocks(t *testing.T) {
	text := "one\n" + strings.Repeat("x", 100) + "\n\nthree\nhalf"
	for _, block := range []int{1, 3, 64, 4096} {
		g, w := generationOf(t, []byte(text))
		r := &reader{maxLine: 200}
		wantLines(t, "lines", readAll(t, r, g, block, false), "one", strings.Repeat("x", 100), "", "three")
		if !g.unfinished() {
			t.Error("no unfinished line")
		}
		_, err := w.WriteAt([]byte(" whole\nx"), int64(len(text)))
		do(t, err)
		wantLines(t, "the rest", readAll(t, r, g, block, false), "half whole")
		wantLines(t, "the end", readAll(t, r, g, block, true), "x")
	}
}

func TestReaderSeesThatAFileIsAnother(t *testing.T) {
	for name, change := range map[string]func(w *os.File) error{
		"shorter":          func(w *os.File) error { return w.Truncate(2) },
		"other before":     func(w *os.File) error { _, err := w.WriteAt([]byte("X"), 3000); return err },
		"nothing and more": func(w *os.File) error { w.Truncate(0); _, err := w.WriteAt(make([]byte, 9000), 0); return err },
	} {
		g, w := generationOf(t, []byte(strings.Repeat("0123456\n", 400)))
		r := &reader{maxLine: 100}
		readAll(t, r, g, 4096, false)
		do(t, change(w))
		wantLines(t, name, readAll(t, r, g, 4096, false), "REPLACED")
	}
}

// Generations that begin with the same long header tell by what was only looked at
// behind it whether they were truncated.
func TestReaderSeesATruncationBehindAHeader(t *testing.T) {
	header := strings.Repeat("h", 2*headMax) + "\n"
	g, w := generationOf(t, []byte(header+"half"))
	r := &reader{maxLine: 4 * headMax}
	wantLines(t, "the header", readAll(t, r, g, 8*headMax, false), header[:2*headMax])
	if got := readAll(t, r, g, 8*headMax, false); len(got) > 0 {
		t.Errorf("then %q", got)
	}
	do(t, w.Truncate(0))
	_, err := w.WriteAt([]byte(header+"other\n"), 0)
	do(t, err)
	wantLines(t, "of the other", readAll(t, r, g, 8*headMax, false), "REPLACED")
}

// A file that begins with a hole has no fingerprint, and must not get that of
// another which it is compared with: it would not be known again in its own copy.
func TestReaderTakesNoFingerprintOfOthers(t *testing.T) {
	g, _ := generationOf(t, append(make([]byte, 2*headMax), "line\n"...))
	r := &reader{maxLine: 4 * headMax}
	readAll(t, r, g, 8*headMax, false)
	other, _ := generationOf(t, []byte("late\n"))
	same, err := r.intact(g, other.handle.file)
	do(t, err)
	if same || g.head.n > 0 {
		t.Errorf("intact: %v; a fingerprint of %d bytes", same, g.head.n)
	}
}

// An older compressed generation that is found while a newer one of its log is open
// is not kept waiting by it: the newer one's turn would never come.
func TestOlderStreamGoesFirst(t *testing.T) {
	f := &Follower{waiting: map[*trail]bool{}, awaiting: map[*trail]bool{}}
	of := func(tr *trail) *generation {
		g, _ := generationOf(t, gzipped(t, "line\n"))
		g.kind, g.trail = "gz", tr
		return g
	}
	log, another := &trail{}, &trail{}
	newer, older, others := of(log), of(log), of(another)
	do(t, f.openContent(newer))
	if err := f.openContent(others); err != errWait {
		t.Errorf("of another log: %v", err)
	}
	do(t, f.openContent(older))
	if newer.stream != nil || f.streaming != older {
		t.Error("two streams are open")
	}
	older.stream.close()
}

func TestReaderOfPreallocatedFile(t *testing.T) {
	g, w := generationOf(t, make([]byte, 300<<10))
	r := &reader{maxLine: 1 << 10}
	for i, text := range []string{"one\n", "two\nthr", "ee\n"} {
		at := []int64{0, 4, 11}[i]
		_, err := w.WriteAt([]byte(text), at)
		do(t, err)
		wantLines(t, text, readAll(t, r, g, 512, false), [][]string{{"one"}, {"two"}, {"three"}}[i]...)
	}
	wantLines(t, "the end", readAll(t, r, g, 512, true))
}

func TestReaderBehindAHole(t *testing.T) {
	g, w := generationOf(t, nil)
	r := &reader{maxLine: 1 << 10}
	_, err := w.WriteAt([]byte("one\nhalf"), 3<<20)
	do(t, err)
	wantLines(t, "behind a hole", readAll(t, r, g, 4096, false), "one")
	if g.read != 3<<20+4 {
		t.Errorf("stands at %d", g.read)
	}
	_, err = w.WriteAt([]byte("\n"), 3<<20+8)
	do(t, err)
	wantLines(t, "on", readAll(t, r, g, 4096, false), "half")
}

func TestReaderOfStream(t *testing.T) {
	text := "one\n" + strings.Repeat("y", 5000) + "\nthree\nhalf"
	g, _ := generationOf(t, gzipped(t, text))
	r := &reader{maxLine: 2000}
	s, err := openStream(g.handle.file, "gz")
	do(t, err)
	defer s.close()
	same, err := s.seek(0, sum{})
	if err != nil || !same {
		t.Fatal(same, err)
	}
	g.kind, g.stream = "gz", s
	y := strings.Repeat("y", 2000)
	wantLines(t, "stream", readAll(t, r, g, 64, false), "one", y, y, strings.Repeat("y", 1000), "three", "half")

	again, err := openStream(g.handle.file, "gz")
	do(t, err)
	defer again.close()
	if same, err = again.seek(g.read, g.tail); err != nil || !same {
		t.Errorf("its own end: %v, %v", same, err)
	}
	if same, _ = again.seek(g.read+10, g.tail); same {
		t.Error("behind its end")
	}
}

func gzipped(t *testing.T, text string) []byte {
	t.Helper()
	w := newWorld(t, "x")
	w.write("x", text)
	w.compress("x", ".gz")
	b, err := os.ReadFile(w.path("x.gz"))
	do(t, err)
	return b
}

func TestLastLineEnd(t *testing.T) {
	long := strings.Repeat("z", 200<<10)
	for _, c := range []struct {
		text  string
		limit int64
		want  int64
	}{
		{"", 100, 0}, {"half", 100, 0}, {"one\n", 100, 4}, {"one\nhalf", 100, 4}, {"\n\n", 100, 2},
		{"one\n" + long, 1 << 20, 4},
		{"one\n" + long, 100 << 10, 4 + 200<<10}, // too long to look for
	} {
		got, err := lastLineEnd(strings.NewReader(c.text), int64(len(c.text)), c.limit)
		if err != nil || got != c.want {
			t.Errorf("%.10q: %d, %v; not %d", c.text, got, err, c.want)
		}
	}
	if got, err := lastLineEnd(strings.NewReader("x"), 10, 100); err != nil || got != 0 {
		t.Errorf("truncated meanwhile: %d, %v", got, err)
	}
}

// Nothing may be allocated for a batch, let alone for a line.
func TestReaderDoesNotAllocate(t *testing.T) {
	g, _ := generationOf(t, bytes.Repeat([]byte("a line of some forty bytes, more or less\n"), 50000))
	r, b := &reader{maxLine: 1 << 20}, record.NewBatch(64<<10)
	buf := b.Data
	if n := testing.AllocsPerRun(20, func() {
		b.Data = buf
		if got, err := r.next(g, b, false); err != nil || got != gotBatch {
			t.Fatal(got, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a batch", n)
	}
}

func BenchmarkReaderNext(b *testing.B) {
	g, _ := generationOf(b, bytes.Repeat([]byte("a line of about one hundred and thirty bytes, as they are in logs: 127.0.0.1 - - GET /index.html HTTP/1.1 200 1234 5678 90 12\n"), 130000))
	r, batch := &reader{maxLine: 1 << 20}, record.NewBatch(256<<10)
	buf := batch.Data
	b.SetBytes(256 << 10)
	b.ReportAllocs()
	for b.Loop() {
		batch.Data = buf
		got, err := r.next(g, batch, false)
		if err != nil {
			b.Fatal(err)
		}
		if got == atEnd {
			g.read, g.scanned, g.tail = 0, 0, sum{}
		}
	}
}
