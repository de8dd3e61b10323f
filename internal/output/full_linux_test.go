package output

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/record"
	"github.com/logcatchsys/logcatchsys/logconfig"
)

// A real full disk: 1 MiB of tmpfs. Nothing is lost or written twice when it is made
// free, and meanwhile positions stand still.
func TestFileFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skip("cannot mount: ", err)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	ballast := filepath.Join(dir, "ballast")
	must(t, os.WriteFile(ballast, make([]byte, 700<<10), 0o644))

	path := filepath.Join(dir, "out.log")
	ledger := &memLedger{}
	o, err := Open(Spec{Name: "archive", Type: "file", Path: path, MaxSize: 100_000, Keep: 100, Sync: true},
		Env{Note: ledger.Note, Log: quiet()})
	must(t, err)
	format, err := record.NewFormat("raw", "")
	must(t, err)
	full := make(chan struct{}, 1)
	log, said := logged()
	p := NewPump(PumpConfig{Name: "archive", Output: o, Ledger: ledger, Encoder: format, Log: log, Retry: logconfig.Retry{Initial: time.Millisecond, Max: time.Millisecond},
		Hooks: Hooks{Retry: func() {
			select {
			case full <- struct{}{}:
			default:
			}
		}}})
	ctx, stop := context.WithCancel(bg)
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx, bg) }()

	const lines = 60_000 // 700 KB
	for next, freed := 0, false; next < lines; {
		select {
		case <-full:
			os.Remove(ballast)
			freed = true
		case b := <-p.Free():
			b.Source, b.Key = "s", "s"
			b.Data = append(b.Data, numbered("s", next, 1000)...)
			p.Put(b)
			next += 1000
			if !freed && next > 50_000 {
				t.Fatal("the disk does not get full")
			}
		}
	}
	stop()
	must(t, <-ended)
	if generations(t, path) != numbered("s", 0, lines) {
		t.Error("not every line once and in order")
	}
	if !strings.Contains(said(), "no space left on device; retrying") || !strings.Contains(said(), "works again") {
		t.Error(said())
	}
}

func TestStdoutClosed(t *testing.T) {
	f, err := os.OpenFile(os.DevNull, os.O_RDONLY, 0) // cannot be written: EBADF, as with 1>&-
	must(t, err)
	defer f.Close()
	err = screen(t, f).Write(bg, made("a", "1\n"))
	if !final(err) || !errors.Is(err, syscall.EBADF) {
		t.Error("got", err)
	}
}
