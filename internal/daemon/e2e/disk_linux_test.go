package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/traffic"
)

// smallDisk mounts a disk of 8 MiB on a folder of the yard.
func (y *Yard) smallDisk(name string) {
	y.t.Helper()
	needRoot(y.t, "mount a small disk")
	dir := y.Path(name)
	Must(y.t, os.MkdirAll(dir, 0o755))
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=8m"); err != nil {
		y.t.Skip("no disk can be mounted here: ", err)
	}
	y.t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			y.t.Error(err)
		}
	})
}

// fill leaves no room on the disk of a folder; free gives it back.
func (y *Yard) fill(dir string) (free func()) {
	y.t.Helper()
	ballast := y.Path(dir + "/ballast")
	f, err := os.Create(ballast)
	Must(y.t, err)
	defer f.Close()
	for block := make([]byte, 1<<16); len(block) > 0; {
		if _, err := f.Write(block); err != nil {
			block = block[:len(block)/2] // to the last byte
		}
	}
	return func() { Must(y.t, os.Remove(ballast)) }
}

func TestOutputDiskFull(t *testing.T) {
	t.Parallel()
	y := NewYard(t, `configpath: {a: ./a/log.txt}
outputs:
  small: {type: file, path: ./small/out, format: raw}
  other: {type: file, path: ./other, format: raw}`)
	y.smallDisk("small")
	p := y.Start()
	addr := p.Ready()
	s := y.Flow("a", "a/log.txt")
	s.Lines(500)
	free := y.fill("small")
	retries := func() bool {
		n := Metric(addr, `logcatchsys_retries_total{output="small"}`)
		return n != "" && n != "0"
	}
	Eventually(t, "a failed write", retries)
	s.Turns(5)
	s.Stop()
	streams := []*Stream{s}
	Eventually(t, "all in the other output", func() bool { return y.Delivered(streams, "other").Count(traffic.Lost) == 0 })
	if y.Delivered(streams, "small/out").Count(traffic.Lost) == 0 {
		t.Error("the full disk was not full")
	}
	p.Err.WaitFor(t, "no space left on device")
	if n := p.said("no space left on device"); n > 20 {
		t.Errorf("said %d times:\n%s", n, Last(p.Err.String(), 3000))
	}
	free()
	Eventually(t, "all in the output that was full", func() bool { return y.Delivered(streams, "small/out").Count(traffic.Lost) == 0 })
	Check(t, y.Delivered(streams, "small/out"))
	Check(t, y.Delivered(streams, "other"))
	p.Term()
}

// Positions that cannot be kept hold the lines up, or have them cut back at the next
// start: never lost, never twice.
func TestStateDiskFull(t *testing.T) {
	t.Parallel()
	y := NewYard(t, "configpath: {a: ./a/log.txt, b: './b/*.log'}\nstate: ./small/state\n"+
		"outputs:\n  out: {type: file, path: './out/{source}', format: raw}")
	y.smallDisk("small")
	p := y.Start()
	p.Ready()
	o := Traffic()
	o.Every = 20 * time.Millisecond // every generation takes room in the checkpoint
	s := y.FlowWith("a", "a/log.txt", o)
	s.Lines(100)
	free := y.fill("small")
	Must(t, os.Mkdir(y.Path("b"), 0o755))
	for i := range 2000 { // and so does every file
		y.Append(filepath.Join("b", strings.Repeat("x", 100)+time.Duration(i).String()+".log"), "")
	}
	s.Turns(20)
	p.Err.WaitFor(t, "no space left on device")
	p.Kill()
	q := y.Start() // on the full disk it starts, and waits
	q.Err.WaitFor(t, "no space left on device")
	free()
	q.Ready()
	s.Stop()
	streams := []*Stream{s}
	Eventually(t, "all lines", func() bool { return y.Delivered(streams, "out/a").Count(traffic.Lost) == 0 })
	Check(t, y.Delivered(streams, "out/a"))
	q.Term()
}
