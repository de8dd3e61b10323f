package output

import (
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"google.golang.org/grpc/encoding"
)

// gRPC finds compressors in a list of the process: these are quick ones, and zstd is
// none of its own.
func init() {
	encoding.RegisterCompressor(&grpcCompressor{name: "gzip", open: openGzip, write: func() resetter {
		w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // fails only for a level that there is not
		return w
	}})
	encoding.RegisterCompressor(&grpcCompressor{name: "zstd", open: openZstd, write: func() resetter {
		w, _ := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest)) // fails only for bad options
		return w
	}})
}

// A grpcCompressor is one of the compressors of gRPC. Writers are used again.
type grpcCompressor struct {
	name  string
	write func() resetter
	open  func(io.Reader) (io.Reader, error)
	idle  sync.Pool
}

type resetter interface {
	io.WriteCloser
	Reset(io.Writer)
}

func (c *grpcCompressor) Name() string { return c.name }

func (c *grpcCompressor) Compress(w io.Writer) (io.WriteCloser, error) {
	z, ok := c.idle.Get().(resetter)
	if !ok {
		z = c.write()
	}
	z.Reset(w)
	return &idleWriter{z, c}, nil
}

// An idleWriter goes back to its pool when it is closed.
type idleWriter struct {
	resetter
	c *grpcCompressor
}

func (w *idleWriter) Close() error {
	err := w.resetter.Close()
	w.Reset(nil)
	w.c.idle.Put(w.resetter)
	return err
}

// Decompress is for answers: they are small and rare.
func (c *grpcCompressor) Decompress(r io.Reader) (io.Reader, error) { return c.open(r) }

func openGzip(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }

func openZstd(r io.Reader) (io.Reader, error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	return z.IOReadCloser(), nil
}
