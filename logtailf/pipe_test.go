//go:build unix

package logtailf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/logcatchsys/logcatchsys/internal/leak"
)

// A pipeReader runs readPipe and hands out its lines.
type pipeReader struct {
	lines  chan string
	cancel context.CancelFunc
	done   chan error
}

// startReading reads path until the test ends, when nothing of it may be left.
func startReading(t *testing.T, path string) *pipeReader {
	t.Helper()
	before := goleak.IgnoreCurrent()
	ctx, cancel := context.WithCancel(context.Background())
	r := &pipeReader{lines: make(chan string), cancel: cancel, done: make(chan error, 1)}
	go func() {
		defer close(r.lines)
		r.done <- readPipe(ctx, path, func(line []byte) error {
			r.lines <- string(line)
			return nil
		})
	}()
	t.Cleanup(func() {
		r.stop(t)
		leak.None(t, before)
	})
	return r
}

// stop ends the reading and returns the lines that came still.
func (r *pipeReader) stop(t *testing.T) (rest []string) {
	t.Helper()
	r.cancel()
	limit := time.After(patience)
	for {
		select {
		case line, ok := <-r.lines:
			if !ok {
				return rest
			}
			rest = append(rest, line)
		case <-limit:
			t.Fatal("reading does not end")
		}
	}
}

func (r *pipeReader) next(t *testing.T) string {
	t.Helper()
	select {
	case line, ok := <-r.lines:
		if !ok {
			t.Fatalf("reading ended: %v", <-r.done)
		}
		return line
	case <-time.After(patience):
		t.Fatal("no line")
	}
	return ""
}

func (r *pipeReader) expect(t *testing.T, lines ...string) {
	t.Helper()
	for _, want := range lines {
		if got := r.next(t); got != want {
			t.Fatalf("line %.60q, want %.60q", got, want)
		}
	}
}

func makePipe(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pipe")
	do(t, unix.Mkfifo(path, 0o600))
	return path
}

// openForWriting waits for a reader, as writers do.
func openForWriting(t *testing.T, path string) *os.File {
	t.Helper()
	w, err := os.OpenFile(path, os.O_WRONLY, 0)
	do(t, err)
	t.Cleanup(func() { w.Close() })
	return w
}

func write(t *testing.T, w io.Writer, text string) {
	t.Helper()
	_, err := io.WriteString(w, text)
	do(t, err)
}

func TestPipeWritersInTurn(t *testing.T) {
	path := makePipe(t)
	r := startReading(t, path)
	for i := range 5 {
		w := openForWriting(t, path)
		write(t, w, fmt.Sprintf("a%d\n\nb%d\r\n\x00\xff\n", i, i))
		r.expect(t, fmt.Sprint("a", i), "", fmt.Sprintf("b%d\r", i), "\x00\xff")
		do(t, w.Close())
	}
	// A line in parts, of two writers.
	w := openForWriting(t, path)
	write(t, w, "one, ")
	do(t, w.Close())
	w = openForWriting(t, path)
	write(t, w, "two\nthree")
	r.expect(t, "one, two")
	if rest := r.stop(t); len(rest) != 1 || rest[0] != "three" {
		t.Errorf("what stood unfinished at the end: %q", rest)
	}
	if err := <-r.done; err != nil {
		t.Error(err)
	}
}

// Without the right to write there is no end of our own to keep the pipe open.
func TestPipeReadOnly(t *testing.T) {
	path := makePipe(t)
	src, err := openPipe(path)
	do(t, err)
	do(t, src.writer.Close())
	src.writer = nil
	idle := make(chan struct{}, 1)
	src.idle = func(context.Context) {
		select {
		case idle <- struct{}{}:
		default:
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	context.AfterFunc(ctx, src.interrupt)
	out, feed := io.Pipe()
	fed := make(chan error, 1)
	go func() { fed <- src.copyTo(ctx, feed) }()
	buf := make([]byte, 100)
	<-idle
	for range 3 {
		w := openForWriting(t, path)
		write(t, w, "x\n")
		if n, err := out.Read(buf); string(buf[:n]) != "x\n" || err != nil {
			t.Fatalf("%q, %v", buf[:n], err)
		}
		select {
		case <-idle: // of the time before this writer
		default:
		}
		do(t, w.Close())
		<-idle // there was no writer when it read
	}
	cancel()
	do(t, <-fed)
	src.close()
}

func TestPipeNoneLost(t *testing.T) {
	const writers, each = 4, 25_000
	path := makePipe(t)
	r := startReading(t, path)
	var all sync.WaitGroup
	for i := range writers {
		w := openForWriting(t, path)
		all.Go(func() {
			for n := range each {
				if _, err := fmt.Fprintf(w, "%d %d\n", i, n); err != nil {
					t.Error(err)
					return
				}
			}
			w.Close()
		})
	}
	var seen [writers]int
	for range writers * each {
		var writer, n int
		line := r.next(t)
		if _, err := fmt.Sscanf(line, "%d %d", &writer, &n); err != nil || writer >= writers {
			t.Fatalf("torn: %q", line)
		}
		if n != seen[writer] {
			t.Fatalf("writer %d: line %d, expected %d", writer, n, seen[writer])
		}
		seen[writer]++
	}
	all.Wait()
}

// Stopping is at once whether a writer never came, is silent, or has left.
func TestPipeStopIdle(t *testing.T) {
	for name, prepare := range map[string]func(r *pipeReader, path string){
		"nobody came": func(*pipeReader, string) {},
		"a silent writer": func(r *pipeReader, path string) {
			write(t, openForWriting(t, path), "x\n")
			r.expect(t, "x")
		},
		"the writer left": func(r *pipeReader, path string) {
			w := openForWriting(t, path)
			write(t, w, "x\n")
			do(t, w.Close())
			r.expect(t, "x")
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := makePipe(t)
			r := startReading(t, path)
			prepare(r, path)
			if rest := r.stop(t); len(rest) > 0 {
				t.Errorf("lines out of nothing: %q", rest)
			}
			if err := <-r.done; err != nil {
				t.Error(err)
			}
		})
	}
}

// Stopped while a writer floods the pipe, and read again: the next reader goes on
// with the next line.
func TestPipeStopUnderFlood(t *testing.T) {
	path := makePipe(t)
	keep, err := os.OpenFile(path, os.O_RDWR, 0) // what is in the pipe stays there
	do(t, err)
	defer keep.Close()
	w := openForWriting(t, path)
	var flood sync.WaitGroup
	flood.Go(func() {
		for n := 0; ; n++ {
			if _, err := fmt.Fprintf(w, "line %d\n", n); err != nil {
				return // closed below
			}
		}
	})
	n := 0
	check := func(line string) {
		if line != fmt.Sprint("line ", n) {
			t.Fatalf("line %q, expected number %d", line, n)
		}
		n++
	}
	for range 5 {
		r := startReading(t, path)
		for range 1000 {
			check(r.next(t))
		}
		for _, line := range r.stop(t) {
			check(line)
		}
	}
	do(t, w.SetWriteDeadline(time.Unix(1, 0)))
	flood.Wait()
}

func TestPipeEmitFails(t *testing.T) {
	path := makePipe(t)
	before := goleak.IgnoreCurrent()
	full := errors.New("output gone")
	done := make(chan error, 1)
	calls := 0
	go func() {
		done <- readPipe(context.Background(), path, func([]byte) error { calls++; return full })
	}()
	w := openForWriting(t, path)
	write(t, w, strings.Repeat("x\n", 20_000)) // more than fits on the way
	select {
	case err := <-done:
		if !errors.Is(err, full) || calls != 1 {
			t.Errorf("%v after %d calls", err, calls)
		}
	case <-time.After(patience):
		t.Fatal("reading does not end")
	}
	leak.None(t, before)
}

// A pipe made anew under the path: the old one to its end, then the new one.
func TestPipeReplaced(t *testing.T) {
	path := makePipe(t)
	r := startReading(t, path)
	old := openForWriting(t, path)
	write(t, old, "old\n")
	r.expect(t, "old")
	do(t, os.Remove(path))
	write(t, old, "late\n")
	do(t, old.Close())
	r.expect(t, "late")
	do(t, unix.Mkfifo(path, 0o600))
	w := openForWriting(t, path)
	write(t, w, "new\n")
	r.expect(t, "new")
}

func TestPipeLongLine(t *testing.T) {
	path := makePipe(t)
	r := startReading(t, path)
	w := openForWriting(t, path)
	const length = 2*maxPipeLine + maxPipeLine/2
	var writer sync.WaitGroup
	writer.Go(func() {
		for range length / 1024 {
			if _, err := w.WriteString(strings.Repeat("x", 1024)); err != nil {
				t.Error(err)
				return
			}
		}
		w.WriteString("\nshort\n")
	})
	total, pieces := 0, 0
	for total < length {
		line := r.next(t)
		if len(line) > maxPipeLine || strings.Trim(line, "x") != "" {
			t.Fatalf("a piece of %d bytes", len(line))
		}
		total += len(line)
		pieces++
	}
	r.expect(t, "short")
	if total != length || pieces != 3 {
		t.Errorf("%d bytes of %d in %d pieces", total, length, pieces)
	}
	writer.Wait()
}

// pass cuts only what is too long, and loses nothing.
func TestPipePass(t *testing.T) {
	var out strings.Builder
	s := &pipeSource{line: maxPipeLine - 3}
	for _, block := range []string{"abc", "\nde\nf", "g\n"} {
		do(t, s.pass(&out, []byte(block)))
	}
	if got, want := out.String(), "abc\nde\nfg\n"; got != want || s.line != 0 {
		t.Errorf("a line just not too long: %q, %d", got, s.line)
	}
	out.Reset()
	s.line = maxPipeLine - 3
	do(t, s.pass(&out, []byte("abcd\ne")))
	if got, want := out.String(), "\nabcd\ne"; got != want || s.line != 1 {
		t.Errorf("a line too long by one byte: %q, %d", got, s.line)
	}
}

func TestPipeOtherPaths(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	touch(t, file)
	for _, path := range []string{file, filepath.Dir(file)} {
		err := readPipe(context.Background(), path, func([]byte) error { return nil })
		if err == nil || !strings.Contains(err.Error(), "neither a named pipe") {
			t.Errorf("%s: %v", path, err)
		}
	}
	startReading(t, "/dev/null") // at its end at once, for ever
	// An endless device that poll does not know: stopped by the look between reads.
	r := startReading(t, "/dev/zero")
	if line := r.next(t); strings.Trim(line, "\x00") != "" || len(line) == 0 {
		t.Errorf("/dev/zero: %d bytes", len(line))
	}
	// A path that is missing is waited for.
	missing := filepath.Join(t.TempDir(), "pipe")
	r = startReading(t, missing)
	do(t, unix.Mkfifo(missing, 0o600))
	write(t, openForWriting(t, missing), "here\n")
	r.expect(t, "here")
}

func BenchmarkPipe(b *testing.B) {
	path := filepath.Join(b.TempDir(), "pipe")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		b.Fatal(err)
	}
	block := []byte(strings.Repeat(strings.Repeat("x", 99)+"\n", 100))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var writer sync.WaitGroup
	b.SetBytes(100)
	b.ReportAllocs()
	writer.Go(func() {
		w, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			b.Error(err)
			return
		}
		defer w.Close()
		for range b.N/100 + 1 {
			if _, err := w.Write(block); err != nil {
				return // the reader has had enough
			}
		}
	})
	n := 0
	err := readPipe(ctx, path, func([]byte) error {
		if n++; n == b.N {
			return io.EOF
		}
		return nil
	})
	if !errors.Is(err, io.EOF) {
		b.Fatal(err)
	}
	writer.Wait()
}
