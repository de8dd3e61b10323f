package output

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/record"
)

// A Stdout is the standard output of the process. Outputs of type stdout come and go
// with the configuration, one at a time; what one leaves unfinished the next one finds.
type Stdout struct {
	File *os.File // nil: os.Stdout

	joint joint
	upTo  int64 // the end, in its file, of the batch that was written last; -1: not all of it is written
}

// stdout writes to the standard output. It is as durable as what stands at its
// other end; nothing can be undone there, so what was in flight at a crash is
// delivered again.
//
// A reader that stands still blocks Write, and with it the followers. Where the
// standard output is a pipe, on Linux, ctx ends the wait; elsewhere a write that
// stands in the kernel cannot be cancelled, and its owner leaves it behind.
type stdout struct {
	name  string
	to    *Stdout
	raw   bool // the only format that goes on with a line in the next batch
	begun bool // this output has written
	tty   bool
	own   *os.File // a description of our own for the same pipe, which does not block; or nil
	put   func(ctx context.Context, p []byte) (int, error)
	done  int // bytes of the batch in flight that are written
}

var lineEnd = []byte{'\n'}

func openStdout(spec Spec, env Env) (Output, error) {
	s := &stdout{name: spec.Name, to: env.Stdout, raw: spec.Format == "raw"}
	if s.to == nil {
		s.to = new(Stdout)
	}
	if s.to.File == nil {
		s.to.File = os.Stdout
	}
	file := s.to.File
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("standard output: %w", err)
	}
	s.put = func(ctx context.Context, p []byte) (int, error) { return writeTo(ctx, file, p) }
	s.tty = info.Mode()&fs.ModeCharDevice != 0
	if info.Mode()&fs.ModeNamedPipe != 0 {
		if own, err := reopen(file); err == nil {
			s.own = own
			s.put = func(_ context.Context, p []byte) (int, error) { return own.Write(p) }
		}
	}
	return s, nil
}

func (s *stdout) Write(ctx context.Context, b *record.Batch) error {
	if own := s.own; own != nil { // s.own is not asked later: the call may outlive Close
		stop := context.AfterFunc(ctx, func() { own.SetWriteDeadline(time.Unix(1, 0)) })
		defer stop()
	}
	if len(b.Out) == 0 {
		return nil
	}
	if s.done == 0 && s.needsBreak(b) {
		if _, err := s.write(ctx, lineEnd); err != nil {
			return err
		}
		s.to.joint.open = false
	}
	for s.done < len(b.Out) {
		n, err := s.write(ctx, b.Out[s.done:])
		if n > 0 {
			s.to.joint.wrote(b, b.Out[s.done:s.done+n])
			s.to.upTo, s.begun = -1, true
		}
		s.done += n
		if err != nil {
			return err
		}
	}
	s.done, s.to.upTo = 0, b.To()
	return nil
}

// needsBreak says whether a line end must be written before b. What an output before
// this one has left open goes on only with the very bytes that follow: a batch of which
// it wrote a part, or that it could not commit, comes again as a whole.
func (s *stdout) needsBreak(b *record.Batch) bool {
	j := &s.to.joint
	if !s.begun && j.open && (!s.raw || s.to.upTo != b.From) {
		return true
	}
	return j.needsBreak(b)
}

// write writes at least a byte of p, or says why not.
func (s *stdout) write(ctx context.Context, p []byte) (n int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	n, err = s.put(ctx, p)
	var named *os.PathError
	if errors.As(err, &named) { // the name is a descriptor's number: of no use to anybody
		err = named.Err
	}
	switch {
	case err == nil:
		return n, nil
	case ctx.Err() != nil:
		return n, ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded): // that of a ctx before this one
		if err := s.own.SetWriteDeadline(time.Time{}); n > 0 || err != nil {
			return n, err
		}
		return s.write(ctx, p)
	case isGone(err) || s.tty && errors.Is(err, syscall.EIO): // EIO: the terminal was closed
		return n, &GoneError{Output: s.name, Err: err}
	}
	return n, fmt.Errorf("write to standard output: %w", err)
}

func (s *stdout) Flush(context.Context) ([]byte, error) { return nil, nil }

// Close leaves the standard output itself open: it is the process's.
func (s *stdout) Close() error {
	own := s.own
	s.own = nil
	if own == nil {
		return nil
	}
	return own.Close()
}
