package logtailf

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// ErrDamaged: a compressed file ends too early or its content cannot be decoded.
// One that is still being written looks the same.
var ErrDamaged = errors.New("damaged")

// maxWindow bounds the memory for a zstd file; it is the limit of the zstd command
// too. gzip needs 32 KiB.
const maxWindow = 128 << 20

// openCompressed returns the content of f, a file of the kind "gz" or "zst", from
// its beginning. It reads with ReadAt: f's own offset does not matter and stays.
//
// Read delivers all that could be decoded, and then ErrDamaged with the offset in
// the content, or io.EOF if the file was whole. An empty file is damaged: no
// compressor makes one. Other errors are those of reading f. Close frees the
// decoder, not f.
func openCompressed(f *os.File, kind string) (io.ReadCloser, error) {
	src := &packed{r: io.NewSectionReader(f, 0, math.MaxInt64)}
	c := &unpacked{name: f.Name(), src: src}
	switch kind {
	case "gz":
		c.dec = &gzipMembers{in: bufio.NewReaderSize(src, 64<<10)}
	case "zst":
		dec, err := zstd.NewReader(bufio.NewReaderSize(src, 64<<10), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", f.Name(), err)
		}
		c.dec = &zstdFrames{dec: dec}
	default:
		return nil, fmt.Errorf("open %s: unknown compression %q", f.Name(), kind)
	}
	return c, nil
}

// packed remembers why reading failed, which decoders hide behind errors of their
// own, and whether there was anything.
type packed struct {
	r     io.Reader
	some  bool
	fault error
}

func (p *packed) Read(buf []byte) (int, error) {
	n, err := p.r.Read(buf)
	p.some = p.some || n > 0
	if err != nil && err != io.EOF {
		p.fault = err
	}
	return n, err
}

// unpacked counts what was decoded and says what went wrong where.
type unpacked struct {
	name   string
	src    *packed
	dec    io.ReadCloser
	offset int64
	err    error // the end: it stays
}

func (c *unpacked) Read(p []byte) (int, error) {
	if c.err != nil || len(p) == 0 {
		return 0, c.err
	}
	n, err := c.dec.Read(p)
	c.offset += int64(n)
	c.err = c.explain(err)
	return n, c.err
}

func (c *unpacked) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case c.src.fault != nil:
		return fmt.Errorf("decompress %s: %w", c.name, c.src.fault)
	case err != io.EOF:
	case c.src.some:
		return io.EOF
	default:
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%s is %w at byte %d of its content: %w", c.name, ErrDamaged, c.offset, err)
}

func (c *unpacked) Close() error { return c.dec.Close() }

// gzipMembers reads the members of a gzip file one after the other. The library's
// own way of doing that takes a header cut inside the file name for a proper end.
type gzipMembers struct {
	in     *bufio.Reader
	dec    *gzip.Reader
	inside bool // a member
}

func (g *gzipMembers) Read(p []byte) (int, error) {
	for {
		if !g.inside {
			if err := g.next(); err != nil {
				return 0, err
			}
		}
		n, err := g.dec.Read(p)
		if err == io.EOF {
			g.inside, err = false, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// next begins a member; io.EOF: there is none. Zeros behind the last member are
// padding, as for gzip itself.
func (g *gzipMembers) next() error {
	if g.dec != nil {
		if err := skipZeros(g.in); err != nil {
			return err
		}
	}
	if err := g.reset(); err != nil {
		return noEOF(err)
	}
	g.dec.Multistream(false)
	g.inside = true
	return nil
}

func (g *gzipMembers) reset() (err error) {
	if g.dec != nil {
		return g.dec.Reset(g.in)
	}
	g.dec, err = gzip.NewReader(g.in)
	return err
}

// noEOF: the end inside a header is not a proper one.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func skipZeros(in *bufio.Reader) error {
	for {
		b, err := in.ReadByte()
		if err != nil {
			return err
		}
		if b != 0 {
			return in.UnreadByte()
		}
	}
}

func (g *gzipMembers) Close() error {
	if g.dec == nil {
		return nil
	}
	return g.dec.Close()
}

// zstdFrames reads a zstd file.
type zstdFrames struct {
	dec *zstd.Decoder
	err error
}

func (z *zstdFrames) Read(p []byte) (int, error) {
	n, err := z.dec.Read(p)
	if z.err == nil && err != nil && err != io.EOF {
		z.err = err
		if n == 0 {
			// The decoder keeps the block behind which it found the error (a wrong
			// or missing checksum) and gives it to those who ask once more.
			n, err = z.dec.Read(p)
		}
	}
	switch {
	case z.err == nil:
		return n, err
	case n > 0:
		return n, nil
	case errors.Is(z.err, zstd.ErrWindowSizeExceeded), errors.Is(z.err, zstd.ErrDecoderSizeExceeded):
		return 0, fmt.Errorf("needs a window of more than %d MiB: %w", maxWindow>>20, z.err)
	}
	return 0, z.err
}

func (z *zstdFrames) Close() error {
	z.dec.Close()
	return nil
}
