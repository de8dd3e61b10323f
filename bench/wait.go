//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// look is how often an output is looked at.
const look = 2 * time.Millisecond

// A watched output is a file that a collector writes, from its first byte on.
type watched struct {
	path string
	file *os.File // nil until it is there
	size int64
	tail [4 << 10]byte
}

func (w *watched) close() {
	if w.file != nil {
		w.file.Close()
	}
}

// grown says whether the file has grown since it was looked at last.
func (w *watched) grown() bool {
	if w.file == nil {
		f, err := os.Open(w.path)
		if err != nil {
			return false // not there yet
		}
		w.file = f
	}
	info, err := w.file.Stat()
	if err != nil || info.Size() == w.size {
		return false
	}
	w.size = info.Size()
	return true
}

// endsWith says whether the last line of the file has the text in it and is whole.
func (w *watched) endsWith(text []byte) bool {
	if w.file == nil {
		return false
	}
	n, err := w.file.ReadAt(w.tail[:], max(0, w.size-int64(len(w.tail))))
	if err != nil && !errors.Is(err, io.EOF) {
		return false
	}
	tail := w.tail[:n]
	return bytes.HasSuffix(tail, []byte("\n")) && bytes.Contains(tail, text)
}

// waitFor waits until the output ends with the line that has text in it, and gives up when the output
// has not grown for patience, or the child has ended.
func waitFor(ctx context.Context, p *child, path string, text []byte, patience time.Duration) error {
	w := watched{path: path}
	defer w.close()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for last := time.Now(); ; {
		if w.grown() {
			last = time.Now()
			if w.endsWith(text) {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.done:
			if w.grown(); w.endsWith(text) {
				return nil
			}
			return errors.Join(errors.New("ended before all was delivered"), p.gone())
		case <-tick.C:
		}
		if time.Since(last) > patience {
			return fmt.Errorf("stood still at %d bytes for %v", w.size, patience)
		}
	}
}

// waitQuiet waits until nothing more comes: the output has not grown for quiet, or for a tenth of it
// after the line with text in it has come.
func waitQuiet(ctx context.Context, p *child, path string, text []byte, quiet time.Duration) error {
	w := watched{path: path}
	defer w.close()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for last := time.Now(); ; {
		if w.grown() {
			last = time.Now()
		}
		still := time.Since(last)
		if still > quiet || still > quiet/10 && len(text) > 0 && w.endsWith(text) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.done:
			return errors.Join(errors.New("ended by itself"), p.gone())
		case <-tick.C:
		}
	}
}

// countLines counts the line ends of a file.
func countLines(path string) (int, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	buf, lines := make([]byte, 256<<10), 0
	for {
		n, err := f.Read(buf)
		lines += bytes.Count(buf[:n], []byte("\n"))
		if errors.Is(err, io.EOF) {
			return lines, nil
		}
		if err != nil {
			return lines, err
		}
	}
}
