package logtailf

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// A stream is the content of a compressed generation, read once from its start.
type stream struct {
	content io.ReadCloser
	rest    []byte // read but not delivered: an unfinished line
	err     error  // what ended content
	tail    []byte // the bytes before the position, at most tailMax
}

// openStream opens the content of the compressed file f.
func openStream(f *os.File, kind string) (*stream, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	c, err := openCompressed(f, kind)
	if err != nil {
		return nil, err
	}
	return &stream{content: c}, nil
}

// fill reads into buf what was put back and then as much as there is room for. The
// error that ends the content comes with its last bytes.
func (s *stream) fill(buf []byte) ([]byte, error) {
	n := copy(buf, s.rest)
	s.rest = s.rest[n:]
	for n < len(buf) && s.err == nil {
		var k int
		k, s.err = s.content.Read(buf[n:])
		n += k
	}
	if len(s.rest) > 0 || n == len(buf) {
		return buf[:n], nil
	}
	return buf[:n], s.err
}

// putBack keeps data, the end of what fill returned, for the next fill.
func (s *stream) putBack(data []byte) {
	s.rest = append(append(make([]byte, 0, len(data)+len(s.rest)), data...), s.rest...)
}

// seek reads up to g.read and reports whether the bytes before it are those that
// were read there.
func (s *stream) seek(offset int64, want sum) (bool, error) {
	s.tail = make([]byte, want.n, tailMax)
	n, err := io.CopyN(io.Discard, s.content, offset-int64(want.n))
	if err == nil {
		_, err = io.ReadFull(s.content, s.tail)
	}
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, ErrDamaged):
		return false, nil // shorter than what was read
	case err != nil:
		return false, fmt.Errorf("decompress at byte %d: %w", n, err)
	}
	return want.n == 0 || sumOf(s.tail) == want, nil
}

func (s *stream) close() { s.content.Close() }
