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
)

func screen(t *testing.T, out *os.File) *stdout {
	t.Helper()
	o, err := Open(Spec{Name: "screen", Type: "stdout"}, Env{Stdout: out, Log: quiet()})
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

// More than a pipe holds: Write waits for the reader, and ctx ends the wait.
func TestStdoutBlockedReader(t *testing.T) {
	both(t, func(t *testing.T, s *stdout, r *os.File) {
		big := strings.Repeat(numbered("a", 0, 1000), 100)
		ctx, cancel := context.WithCancel(bg)
		ended := make(chan error)
		b := made("a", big)
		go func() { ended <- s.Write(ctx, b) }()
		first := make([]byte, 10)
		_, err := io.ReadFull(r, first)
		must(t, err)
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Fatal("ended with", err)
		}
		go func() { ended <- s.Write(bg, b) }()
		rest := make([]byte, len(big)-10)
		_, err = io.ReadFull(r, rest)
		must(t, err)
		must(t, <-ended)
		if string(first)+string(rest) != big {
			t.Error("not what was written")
		}
	})
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
