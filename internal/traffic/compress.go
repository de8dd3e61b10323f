package traffic

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// compressFile writes the compressed form of from to a name that must be free and then removes from,
// as gzip(1) does: for a while both are there, the new one half written. The time of modification
// stays. If ctx ends first, from stays and what was written is removed.
func compressFile(ctx context.Context, from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close() // for the early returns; a second Close does no harm
	info, err := in.Stat()
	if err != nil {
		return err
	}
	err = writeNew(to, func(out io.Writer) error {
		c, err := newCompressor(out, to)
		if err != nil {
			return err
		}
		_, err = io.Copy(c, ctxReader{ctx, in})
		return errors.Join(err, c.Close())
	})
	if err != nil {
		return err
	}
	if err := os.Chtimes(to, info.ModTime(), info.ModTime()); err != nil {
		return err
	}
	_ = in.Close() // Windows removes no file that is open
	return os.Remove(from)
}

func newCompressor(out io.Writer, name string) (io.WriteCloser, error) {
	if strings.HasSuffix(name, ".zst") {
		return zstd.NewWriter(out, zstd.WithEncoderConcurrency(1))
	}
	return gzip.NewWriter(out), nil
}

// openContent opens a file; what is in a .gz or .zst comes out as it was before.
func openContent(path string) (io.ReadCloser, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	var content io.Reader = f
	closeContent := func() {}
	switch {
	case strings.HasSuffix(path, ".gz"):
		content, err = gzip.NewReader(f)
	case strings.HasSuffix(path, ".zst"):
		var d *zstd.Decoder
		if d, err = zstd.NewReader(f, zstd.WithDecoderConcurrency(1)); err == nil {
			content, closeContent = d, d.Close
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	return &contentFile{content, f, closeContent}, nil
}

type contentFile struct {
	io.Reader
	file         *os.File
	closeContent func()
}

func (c *contentFile) Close() error {
	c.closeContent()
	return c.file.Close()
}

// ctxReader ends with ctx.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
