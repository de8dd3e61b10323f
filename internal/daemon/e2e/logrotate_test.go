//go:build unix

package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/traffic"
)

// A rotating is one way to use logrotate.
type rotating struct {
	name   string
	config string
	// stand: what a writer adds between logrotate's copy and its truncation, or its
	// compression and its removal, is lost by logrotate itself.
	stand   bool
	rotated string // pattern of the source, where the default does not know it
}

var rotatings = []rotating{
	{name: "create", config: "create"},
	{name: "nocreate", config: "nocreate"},
	{name: "copytruncate", config: "copytruncate", stand: true},
	{name: "copytruncate-compress", config: "copytruncate\ncompress", stand: true},
	{name: "compress", config: "create\ncompress", stand: true},
	{name: "delaycompress", config: "create\ncompress\ndelaycompress"},
	{name: "dateext", config: "create\ndateext\ndateformat -%Y%m%d-%s"},
	{name: "dateext-hours", config: "create\ndateext\ndateformat -%Y%m%d-%H%M%S"},
	{name: "dateext-compress", config: "create\ncompress\ndelaycompress\ndateext\ndateformat -%Y%m%d-%s"},
	{name: "extension", config: "create\nextension .log"},
	{name: "extension-compress", config: "create\nextension .log\ncompress\ndelaycompress"},
	{name: "olddir", config: "create\nolddir archive\ncreateolddir 755", rotated: "archive/{name}*"},
	{name: "olddir-compress", config: "create\nolddir archive\ncreateolddir 755\ncompress\ndelaycompress", rotated: "archive/{name}*"},
}

// A reopener is a writer that opens the path anew for every few lines.
type reopener struct {
	mu    sync.Mutex // held while it must stand still
	path  string
	id    string
	next  uint64
	err   error
	flags int
	late  map[uint64]bool // lines that may have been written after their file was renamed
}

func (w *reopener) run(stop <-chan struct{}) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for w.err == nil {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		w.mu.Lock()
		w.err = w.write(3)
		w.mu.Unlock()
	}
}

func (w *reopener) write(lines int) error {
	f, err := os.OpenFile(w.path, os.O_WRONLY|os.O_APPEND|w.flags, 0o644)
	if os.IsNotExist(err) {
		return nil // between logrotate's rename and its create
	}
	if err != nil {
		return err
	}
	var b []byte
	for range lines {
		b = traffic.AppendNumbered(b, w.id, w.next, 0)
		w.next++
	}
	_, err = f.Write(b)
	if w.left(f) {
		for n := w.next - uint64(lines); n < w.next; n++ {
			w.late[n] = true
		}
	}
	return errors.Join(err, f.Close())
}

// left reports whether the path does not name the open file any more.
func (w *reopener) left(f *os.File) bool {
	mine, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(w.path)
	return err != nil || !os.SameFile(mine, there)
}

// checkOrder reports every line that was delivered after a later one, but for late
// ones: those come when they are found.
func (w *reopener) checkOrder(t *testing.T, delivered string) {
	t.Helper()
	var high uint64
	for i, line := range strings.Split(delivered, "\n") {
		_, n, ok := traffic.ParseNumbered([]byte(line))
		if ok && n < high && !w.late[n] {
			t.Errorf("%s: line %d of what was delivered is %d, after %d", w.id, i+1, n, high)
		}
		high = max(high, n)
	}
}

func (w *reopener) stream() *Stream {
	return &Stream{Stats: traffic.Stats{Writers: []traffic.Sequence{{ID: w.id, First: 1, Last: w.next - 1}}}}
}

func logrotate(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"logrotate", "/usr/sbin/logrotate"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("not installed: logrotate")
	return ""
}

// makeSure has the log be there, as logrotate wants it: with nocreate only a writer makes it.
func (w *reopener) makeSure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.write(1)
}

// turn has logrotate rotate the log.
func (r rotating) turn(program string, w *reopener) error {
	if r.stand {
		w.mu.Lock()
		defer w.mu.Unlock()
	} else if err := w.makeSure(); err != nil {
		return err
	}
	dir := filepath.Dir(w.path)
	out, err := exec.Command(program, "-f", "-s", dir+".state", dir+".conf").CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", r.name, err, out)
	}
	return nil
}

// play writes and rotates one log.
func (r rotating) play(program string, w *reopener, rounds int) error {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		w.run(stop)
	}()
	var err error
	pause := 100 * time.Millisecond // in which lines are written
	if strings.Contains(r.config, "dateext") {
		pause, rounds = 1050*time.Millisecond, rounds/2 // one name a second
	}
	for range rounds {
		time.Sleep(pause)
		if err = r.turn(program, w); err != nil {
			break
		}
	}
	close(stop)
	<-done
	if err == nil && w.err == nil {
		w.err = w.write(1) // into the last new file
	}
	if err == nil {
		err = w.err
	}
	return err
}

func TestLogrotate(t *testing.T) {
	t.Parallel()
	program, rounds := logrotate(t), 6
	if *Long {
		rounds = 60
	}
	y := NewYard(t, "")
	var config strings.Builder
	config.WriteString("outputs: {f: {type: file, path: './out/{source}', format: raw}}\nconfigpath:\n")
	writers := make([]*reopener, len(rotatings))
	for i, r := range rotatings {
		fmt.Fprintf(&config, "  %s: {path: ./%s/app.log", r.name, r.name)
		if r.rotated != "" {
			fmt.Fprintf(&config, ", rotated: ['%s']", r.rotated)
		}
		config.WriteString("}\n")
		y.Write(r.name+"/app.log", "")
		y.Write(r.name+".conf", fmt.Sprintf("%s {\nrotate 1000\n%s\n}\n", y.Path(r.name+"/app.log"), r.config))
		writers[i] = &reopener{path: y.Path(r.name + "/app.log"), id: traffic.SequenceID(r.name, 1), next: 1, late: map[uint64]bool{}}
		if r.name == "nocreate" {
			writers[i].flags = os.O_CREATE
		}
	}
	y.Edit(config.String())
	p := y.Start()
	p.Ready()
	var all sync.WaitGroup
	errs := make([]error, len(rotatings))
	for i, r := range rotatings {
		all.Go(func() { errs[i] = r.play(program, writers[i], rounds) })
	}
	all.Wait()
	for i, r := range rotatings {
		Must(t, errs[i])
		s, out := writers[i].stream(), "out/"+r.name
		Eventually(t, "the last line of "+r.name, func() bool {
			return y.Delivered([]*Stream{s}, out).Count(traffic.Lost) == 0
		})
		Check(t, y.Delivered([]*Stream{s}, out), traffic.OutOfOrder)
		writers[i].checkOrder(t, y.Read(out))
		n, _ := filepath.Glob(y.Path(r.name + "/*"))
		old, _ := filepath.Glob(y.Path(r.name + "/archive/*"))
		t.Logf("%s: %d lines, %d late, %d files", r.name, writers[i].next-1, len(writers[i].late), len(n)+len(old))
		if len(n)+len(old) < 3 {
			t.Errorf("%s: logrotate did nothing: %v", r.name, n)
		}
	}
	p.Term()
}
