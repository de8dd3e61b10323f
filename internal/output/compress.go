package output

import (
	"bytes"
	"fmt"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// A compressor compresses the bodies of HTTP requests: gzip, zstd, or none. It is for
// one goroutine; a body is valid until the next.
type compressor struct {
	encoding string // of the Content-Encoding header; "": none
	gzip     *gzip.Writer
	zstd     *zstd.Encoder
	buf      bytes.Buffer
	out      []byte
}

func newCompressor(name string) (*compressor, error) {
	c := &compressor{encoding: name}
	var err error
	switch name {
	case "", "none":
		c.encoding = ""
	case "gzip":
		c.gzip, err = gzip.NewWriterLevel(nil, gzip.BestSpeed)
	case "zstd":
		c.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	default:
		err = fmt.Errorf("unknown compression %q: one of gzip, zstd, none", name)
	}
	return c, err
}

func (c *compressor) compress(body []byte) ([]byte, error) {
	switch {
	case c.gzip != nil:
		c.buf.Reset()
		c.gzip.Reset(&c.buf)
		if _, err := c.gzip.Write(body); err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		if err := c.gzip.Close(); err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		return c.buf.Bytes(), nil
	case c.zstd != nil:
		c.out = c.zstd.EncodeAll(body, c.out[:0])
		return c.out, nil
	}
	return body, nil
}
