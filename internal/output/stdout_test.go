//go:build unix

package output

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/record"
)

func screen(t *testing.T, out *os.File) *stdout { return screenOn(t, &Stdout{File: out}, "text") }

func screenOn(t *testing.T, out *Stdout, format string) *stdout {
	t.Helper()
	o, err := Open(Spec{Name: "screen", Type: "stdout", Format: format}, Env{Stdout: out, Log: quiet()})
	must(t, err)
	t.Cleanup(func() { o.Close() })
	return o.(*stdout)
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	must(t, err)
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// both runs do with a description of our own where there can be one, and without.
func both(t *testing.T, do func(t *testing.T, s *stdout, r *os.File)) {
	for _, own := range []bool{true, false} {
		t.Run(map[bool]string{true: "own", false: "shared"}[own], func(t *testing.T) {
			r, w := pipe(t)
			s := screen(t, w)
			if !own {
				must(t, s.Close())
				s.put = func(ctx context.Context, p []byte) (int, error) { return writeTo(ctx, w, p) }
			} else if s.own == nil {
				t.Skip("not here")
			}
			do(t, s, r)
		})
	}
}

// The write would kill the process if it went through descriptor 1 of os.File.
func TestStdoutReaderGone(t *testing.T) {
	both(t, func(t *testing.T, s *stdout, r *os.File) {
		must(t, s.Write(bg, made("a", "1\n")))
		r.Close()
		err := s.Write(bg, made("a", "2\n"))
		var gone *GoneError
		if !errors.As(err, &gone) || !errors.Is(err, syscall.EPIPE) || gone.Output != "screen" {
			t.Errorf("got %v", err)
		}
	})
}

// interrupted ends a write of b, which is more than a pipe holds, in the middle; it gives the
// first bytes, which were read.
func interrupted(t *testing.T, s *stdout, b *record.Batch, r io.Reader) []byte {
	t.Helper()
	ctx, cancel := context.WithCancel(bg)
	ended := make(chan error)
	go func() { ended <- s.Write(ctx, b) }()
	first := make([]byte, 10)
	_, err := io.ReadFull(r, first)
	must(t, err)
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatal("ended with", err)
	}
	return first
}

// More than a pipe holds: Write waits for the reader, and ctx ends the wait.
func TestStdoutBlockedReader(t *testing.T) {
	both(t, func(t *testing.T, s *stdout, r *os.File) {
		big := strings.Repeat(numbered("a", 0, 1000), 100)
		b, ended := made("a", big), make(chan error)
		first := interrupted(t, s, b, r)
		go func() { ended <- s.Write(bg, b) }()
		rest := make([]byte, len(big)-10)
		_, err := io.ReadFull(r, rest)
		must(t, err)
		must(t, <-ended)
		if string(first)+string(rest) != big {
			t.Error("not what was written")
		}
	})
}

// What the end of a ctx does to the writes may come late, and meet the next one.
func TestStdoutLateEnd(t *testing.T) {
	r, w := pipe(t)
	s := screen(t, w)
	if s.own == nil {
		t.Skip("not here")
	}
	must(t, s.Write(bg, piece("a", "aa", 0, false)))
	must(t, s.own.SetWriteDeadline(time.Unix(1, 0)))
	must(t, s.Write(bg, made("b", "b\n")))
	must(t, s.Close())
	must(t, w.Close())
	if got, err := io.ReadAll(r); string(got) != "aa\nb\n" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// Pieces of a long line stay together; another source's line does not join them.
func TestStdoutPieces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	s := screen(t, f)
	for _, b := range pieces() {
		must(t, s.Write(bg, b))
	}
	if got := content(t, path); got != joined {
		t.Errorf("got %q, want %q", got, joined)
	}
}

// A reload gives up an output that stands in a half written line; the next one, of
// whatever format, begins with a line of its own.
func TestStdoutReplacedInALine(t *testing.T) {
	for _, format := range []string{"text", "raw"} {
		both(t, func(t *testing.T, s *stdout, r *os.File) {
			big := numbered("a", 0, 20_000)
			b, ended := made("a", big), make(chan error)
			first := interrupted(t, s, b, r)
			must(t, s.Close())
			next := screenOn(t, s.to, format)
			go func() { ended <- errors.Join(next.Write(bg, b), next.Close(), s.to.File.Close()) }()
			rest, err := io.ReadAll(r)
			must(t, errors.Join(err, <-ended))
			torn, whole := strings.CutSuffix(string(first)+string(rest), big)
			if !whole || len(torn) < 10 || !strings.HasSuffix(torn, "\n") || !strings.HasPrefix(big, torn[:len(torn)-1]) {
				t.Errorf("%d bytes, then %.50q", len(torn), torn[max(0, len(torn)-30):])
			}
		})
	}
}

// A long raw line goes on over a reload if nothing of it is repeated.
func TestStdoutReplacedBetweenPieces(t *testing.T) {
	for _, c := range []struct {
		name, format string
		from         int64
		want         string
	}{
		{"goes on", "raw", 2, "aaAA\n"},
		{"repeated", "raw", 0, "aa\nAA\n"},
		{"another format", "json", 2, "aa\nAA\n"},
	} {
		path := filepath.Join(t.TempDir(), "out")
		f, err := os.Create(path)
		must(t, err)
		defer f.Close()
		s := screenOn(t, &Stdout{File: f}, "raw")
		must(t, s.Write(bg, piece("a", "aa", 0, false)))
		must(t, s.Close())
		s = screenOn(t, s.to, c.format)
		must(t, s.Write(bg, &record.Batch{})) // nothing in it
		last := piece("a", "AA\n", 1, true)
		last.From = c.from
		must(t, s.Write(bg, last))
		if got := content(t, path); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestStdoutFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	err = screen(t, full).Write(bg, made("a", "1\n"))
	if !errors.Is(err, syscall.ENOSPC) || final(err) {
		t.Errorf("got %v: to be tried again", err)
	}
}
