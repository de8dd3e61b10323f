package output

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/logcatchsys/logcatchsys/internal/checkpoint"
	"github.com/logcatchsys/logcatchsys/internal/record"
)

// BenchmarkPumpFile is the way of a backlog from a follower's buffer into files.
func BenchmarkPumpFile(b *testing.B) {
	for _, sync := range []bool{false, true} {
		b.Run(fmt.Sprint("sync=", sync), func(b *testing.B) {
			dir := b.TempDir()
			store, err := checkpoint.Open(filepath.Join(dir, "state"), quiet())
			must(b, err)
			ledger, err := store.Ledger("x")
			must(b, err)
			o, err := Open(Spec{Type: "file", Path: filepath.Join(dir, "f"), MaxSize: 256 << 20, Keep: 1, Sync: sync},
				Env{Log: quiet(), Note: func(undo []byte) error { return ledger.Commit(nil, undo) }})
			must(b, err)
			b.SetBytes(batchSize)
			benchmarkPump(b, o, ledger, strings.Repeat("a line of some length, as they are\n", batchSize/35))
			must(b, store.Close())
		})
	}
}

func BenchmarkPump(b *testing.B) {
	benchmarkPump(b, discard{}, nothing{}, "line\n")
}

func benchmarkPump(b *testing.B, o Output, ledger Ledger, text string) {
	f, err := record.NewFormat("raw", "h")
	must(b, err)
	p := NewPump(PumpConfig{Name: "x", Output: o, Ledger: ledger, Encoder: f, Log: quiet()})
	ctx, stop := context.WithCancel(bg)
	ended := make(chan error)
	go func() { ended <- p.Run(ctx, bg) }()
	b.ReportAllocs()
	for b.Loop() {
		x := <-p.Free()
		x.Source, x.Key, x.Read = "s", "key", hour
		x.Data = append(x.Data, text...)
		x.Mark = append(x.Mark, "mark"...)
		p.Put(x)
	}
	stop()
	must(b, <-ended)
}

type discard struct{}

func (discard) Write(context.Context, *record.Batch) error { return nil }
func (discard) Flush(context.Context) ([]byte, error)      { return nil, nil }
func (discard) Close() error                               { return nil }

type nothing struct{}

func (nothing) Commit([]checkpoint.Entry, []byte) error { return nil }

func (nothing) Take(string, []byte) {}

func BenchmarkFileWrite(b *testing.B) {
	o, err := Open(Spec{Type: "file", Path: filepath.Join(b.TempDir(), "{source}"), MaxSize: 64 << 20, Keep: 1}, Env{Log: quiet()})
	must(b, err)
	batch := made("s", strings.Repeat("a line of some length\n", 11000))
	b.SetBytes(int64(len(batch.Out)))
	b.ReportAllocs()
	for b.Loop() {
		must(b, o.Write(bg, batch))
	}
	must(b, o.Close())
}
