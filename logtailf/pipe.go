package logtailf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"time"

	"github.com/hpcloud/tail"
)

const (
	// pipeBlock is what is read at once: all that a pipe of the usual size holds,
	// so that between two reads there are whole lines as a rule.
	pipeBlock = 64 << 10
	// maxPipeLine bounds a line in bytes, and with it the memory (a line of 1 GiB: 80 MiB
	// in all): tail itself collects a line whole, however long it is.
	maxPipeLine = 8 << 20
	// pipePause is the time between two looks where nothing wakes.
	pipePause = 250 * time.Millisecond
)

// readPipe calls emit with each line of a named pipe or character device, without
// its line feed, until ctx ends, emit fails, or reading fails. It may change and
// append to a line while it has it. A line that is longer than maxPipeLine comes as
// several; one whose end had not come when ctx ended comes as it is. What was taken
// out of the pipe is still emitted after ctx has ended, unless emit fails.
//
// Writers may come and go. A path that is missing is waited for; one that leads to
// another pipe is read when the last writer has left the first.
//
// The error is nil after ctx, else emit's or that of reading.
//
// The lines are cut by hpcloud/tail, which is kept away from the path itself:
//   - its open blocks, beyond recall, until a writer comes, and its read until
//     somebody writes; so it is given the end of a pipe of our own, and ends when
//     that is closed. What it has buffered is not lost then, as it is by its Stop;
//   - after an end of file it would seek, which a pipe cannot, or wait with inotify
//     on the path, where a failing stat calls os.Exit (util.Fatal). With MustExist
//     and without Follow and ReOpen it starts none of its watchers: an end of file
//     ends it;
//   - it cannot end while nobody takes its Lines, so they are always drained.
func readPipe(ctx context.Context, path string, emit func(line []byte) error) error {
	for ctx.Err() == nil {
		err := followPipe(ctx, path, emit)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		pause(ctx)
	}
	return nil
}

// followPipe reads the pipe that is at path now, to its end.
func followPipe(ctx context.Context, path string, emit func(line []byte) error) error {
	src, err := openPipe(path)
	if err != nil {
		return err
	}
	defer src.close()
	t, feed, err := startTail()
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	unblock := context.AfterFunc(ctx, src.interrupt)
	defer unblock()
	fed := make(chan error, 1)
	go func() {
		defer feed.Close()
		fed <- src.copyTo(ctx, feed)
	}()
	err = src.deliver(t, emit, stop)
	stop() // where tail ended first
	return errors.Join(err, t.Wait(), <-fed)
}

// startTail makes tail read from feed. Nothing of it is left once feed is closed
// and its Lines are read.
func startTail() (t *tail.Tail, feed *os.File, err error) {
	out, feed, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer out.Close()
	t, err = tail.TailFile(descriptors+strconv.Itoa(int(out.Fd())), tail.Config{
		Pipe: true, MustExist: true, Logger: tail.DiscardingLogger,
	})
	if err != nil {
		feed.Close()
		// Not %w: "not found" is of the descriptor, not of the path.
		return nil, nil, fmt.Errorf("hand the descriptor to tail: %v", err)
	}
	return t, feed, nil
}

// A pipeSource is an open named pipe or character device.
type pipeSource struct {
	path string
	file *os.File
	fifo bool
	// writer is an end for writing that we hold ourselves, so that reading waits
	// when the last writer leaves instead of meeting the end of file. nil: no right to.
	writer *os.File
	idle   func(context.Context) // pause, but in tests
	// line is the length of the unfinished line that was copied last.
	line int
}

func (s *pipeSource) close() {
	s.file.Close()
	s.dismiss()
}

func (s *pipeSource) dismiss() {
	if s.writer != nil {
		s.writer.Close()
	}
}

// interrupt ends a Read that waits. A device that cannot be waited for with poll
// has no such Read.
func (s *pipeSource) interrupt() { _ = s.file.SetReadDeadline(time.Unix(1, 0)) }

// deliver emits tail's lines until it has ended. If emit fails, all is stopped and
// the rest let go.
func (s *pipeSource) deliver(t *tail.Tail, emit func([]byte) error, stop func()) (failed error) {
	look := time.NewTicker(pipePause)
	defer look.Stop()
	var buf []byte
	for {
		select {
		case line, ok := <-t.Lines:
			if !ok {
				return failed
			}
			if failed != nil {
				continue
			}
			buf = append(buf[:0], line.Text...)
			if failed = emit(buf); failed != nil {
				stop()
			}
		case <-look.C:
			if s.replaced() {
				look.Stop()
				s.leave(stop)
			}
		}
	}
}

// replaced says whether the path leads elsewhere now, or nowhere.
func (s *pipeSource) replaced() bool {
	mine, err := s.file.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(s.path)
	return errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(mine, there)
}

// leave gives a pipe up whose path leads elsewhere: when its last writer has gone.
// Until then those of the new pipe wait at its opening, where they lose nothing.
func (s *pipeSource) leave(stop func()) {
	if s.writer == nil {
		stop()
		return
	}
	s.dismiss()
}

// copyTo copies the source to feed until ctx ends, or the source does.
func (s *pipeSource) copyTo(ctx context.Context, feed io.Writer) error {
	buf := make([]byte, pipeBlock)
	for ctx.Err() == nil {
		n, err := s.file.Read(buf)
		if n > 0 {
			if err := s.pass(feed, buf[:n]); err != nil {
				return fmt.Errorf("hand %s to tail: %w", s.path, err)
			}
		}
		switch {
		case err == nil, errors.Is(err, os.ErrDeadlineExceeded):
		case err != io.EOF:
			return err
		case !s.fifo || s.writer != nil:
			return nil
		default: // no writer there, and none of ours
			s.idle(ctx)
		}
	}
	return nil
}

// pass writes a block to feed and ends a line before it grows too long.
func (s *pipeSource) pass(feed io.Writer, block []byte) error {
	first := bytes.IndexByte(block, '\n')
	if first < 0 {
		first = len(block)
	}
	if s.line > 0 && s.line+first > maxPipeLine {
		s.line = 0
		if _, err := feed.Write([]byte{'\n'}); err != nil {
			return err
		}
	}
	if last := bytes.LastIndexByte(block, '\n'); last >= 0 {
		s.line = len(block) - last - 1
	} else {
		s.line += len(block)
	}
	_, err := feed.Write(block)
	return err
}

func pause(ctx context.Context) {
	t := time.NewTimer(pipePause)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
