package logconfig

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/logcatchsys/logcatchsys/internal/leak"
)

var edits = flag.Int("edits", 20, "edits in a row with the real watch")

func TestMain(m *testing.M) {
	leak.Main(m,
		goleak.IgnoreAnyFunction("github.com/spf13/viper.(*Viper).WatchConfig.func1"),
		goleak.IgnoreAnyFunction("github.com/spf13/viper.(*Viper).WatchConfig.func1.1"))
}

// A place is a configuration file on disk that tests edit.
type place struct {
	t    *testing.T
	dir  string
	file string
}

func newPlace(t *testing.T) *place {
	dir := t.TempDir()
	p := &place{t: t, dir: dir, file: filepath.Join(dir, "config.yaml")}
	p.write("first")
	return p
}

func (p *place) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) write(s string) { p.must(os.WriteFile(p.file, []byte(s), 0o600)) }

func (p *place) rename(s string) {
	tmp := filepath.Join(p.dir, ".config.yaml.swp")
	p.must(os.WriteFile(tmp, []byte(s), 0o600))
	p.must(os.Rename(tmp, p.file))
}

func (p *place) recreate(s string) {
	p.must(os.Remove(p.file))
	p.write(s)
}

func (p *place) backup(s string) { // as vim with backupcopy=no
	p.must(os.Rename(p.file, p.file+"~"))
	p.write(s)
}

func (p *place) append(s string) {
	f, err := os.OpenFile(p.file, os.O_WRONLY|os.O_APPEND, 0)
	p.must(err)
	_, err = f.WriteString(s)
	p.must(err)
	p.must(f.Close())
}

// sameTime changes the content behind the back of size and time.
func (p *place) sameTime(s string) {
	st, err := os.Stat(p.file)
	p.must(err)
	if int64(len(s)) != st.Size() {
		p.t.Fatalf("%q is not of the size %d", s, st.Size())
	}
	p.write(s)
	p.must(os.Chtimes(p.file, st.ModTime(), st.ModTime()))
}

// kubernetes makes the file a link into a folder that is a link: ..data.
func (p *place) kubernetes(s string) {
	folder := fmt.Sprintf("..%d", time.Now().UnixNano())
	p.must(os.Mkdir(filepath.Join(p.dir, folder), 0o700))
	p.must(os.WriteFile(filepath.Join(p.dir, folder, "config.yaml"), []byte(s), 0o600))
	p.must(os.Symlink(folder, filepath.Join(p.dir, "..tmp")))
	p.must(os.Rename(filepath.Join(p.dir, "..tmp"), filepath.Join(p.dir, "..data")))
	if _, err := os.Readlink(p.file); err != nil {
		p.must(os.Remove(p.file))
		p.must(os.Symlink("..data/config.yaml", p.file))
	}
}

// watch runs Watch until the test ends.
func (p *place) watch() <-chan struct{} {
	ctx, cancel := context.WithCancel(p.t.Context())
	p.t.Cleanup(cancel)
	c, _ := Watch(ctx, p.file, slog.New(slog.DiscardHandler))
	return c
}

// patience is how long a test waits for what must come.
const patience = 2 * time.Minute

// within fails unless a value comes in time.
func (p *place) within(c <-chan struct{}, limit time.Duration) time.Duration {
	p.t.Helper()
	start := time.Now()
	select {
	case <-c:
	case <-time.After(limit):
		p.t.Fatalf("no change announced within %v", limit)
	}
	return time.Since(start)
}

// Each way of editing is announced with the real watch; three times in a row, since
// viper's own watch ends with some of them. How soon, TestLooksAlone tells.
func TestWatchEdits(t *testing.T) {
	for name, edit := range map[string]func(*place, string){
		"in place":       (*place).write,
		"rename over":    (*place).rename,
		"recreate":       (*place).recreate,
		"backup":         (*place).backup,
		"append":         (*place).append,
		"symlink folder": (*place).kubernetes,
	} {
		t.Run(name, func(t *testing.T) {
			if runtime.GOOS == "windows" && name == "symlink folder" {
				t.Skip("links need a privilege there")
			}
			t.Parallel()
			p := newPlace(t)
			if name == "symlink folder" {
				p.kubernetes("first")
			}
			c := p.watch()
			for i := range 3 {
				edit(p, fmt.Sprintf("content %d", i))
				t.Logf("seen after %v", p.within(c, patience))
			}
		})
	}
}

// Edits in a row, each of another kind than the last: each is announced, and what is
// read then is the edit.
func TestWatchManyEdits(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	c := p.watch()
	ways := []func(string){p.write, p.rename, p.backup, p.append, p.recreate}
	var longest time.Duration
	start := time.Now()
	for i := range *edits {
		want := fmt.Sprintf("content %d", i)
		way := i % len(ways)
		ways[way](want)
		longest = max(longest, p.within(c, patience))
		if got, err := os.ReadFile(p.file); !strings.HasSuffix(string(got), want) || err != nil {
			t.Fatalf("edit %d: announced with %q, %v", i, got, err)
		}
	}
	t.Logf("longest %v, all %v", longest, time.Since(start))
	if n := len(c); n != 0 {
		t.Errorf("%d announcements more than edits", n)
	}
}

// bubble runs a test with a watcher on a fake clock, without viper: what
// the looks alone see. trigger may be used to wake it.
func bubble(t *testing.T, test func(t *testing.T, p *place, c <-chan struct{}, trigger chan<- struct{})) {
	p := newPlace(t)
	synctest.Test(t, func(t *testing.T) {
		p := &place{t, p.dir, p.file}
		trigger := make(chan struct{})
		w := newWatcher(p.file, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); w.run(ctx, trigger) }()
		test(t, p, w.out, trigger)
		cancel()
		<-done
	})
}

// never fails if a value comes within a minute.
func (p *place) never(c <-chan struct{}) {
	p.t.Helper()
	select {
	case <-c:
		p.t.Fatal("announced")
	case <-time.After(time.Minute):
	}
}

// The looks alone are enough, and fast enough.
func TestLooksAlone(t *testing.T) {
	bubble(t, func(t *testing.T, p *place, c <-chan struct{}, _ chan<- struct{}) {
		edits := []func(string){p.write, p.rename, p.recreate, p.backup, p.append}
		for i := range 200 {
			edits[i%len(edits)](strings.Repeat("x", i) + fmt.Sprint(i))
			p.within(c, glanceTime+2*settle)
		}
		p.never(c)
	})
}

// Same size, same time: only the content tells.
func TestSameTime(t *testing.T) {
	bubble(t, func(t *testing.T, p *place, c <-chan struct{}, _ chan<- struct{}) {
		p.sameTime("FIRST")
		p.within(c, 1100*time.Millisecond)
		p.never(c)
	})
}

// Touching, rewriting the same, and a change that is taken back at once are no change.
func TestNoChange(t *testing.T) {
	bubble(t, func(t *testing.T, p *place, c <-chan struct{}, trigger chan<- struct{}) {
		p.never(c)
		for _, edit := range []func(string){p.write, p.rename, p.recreate, p.backup} {
			edit("first")
			trigger <- struct{}{}
			p.never(c)
		}
		p.write("second")
		trigger <- struct{}{}
		synctest.Wait()
		p.write("first")
		trigger <- struct{}{}
		p.never(c)
	})
}

// What is written in steps is announced when the steps have ended.
func TestSteps(t *testing.T) {
	bubble(t, func(t *testing.T, p *place, c <-chan struct{}, trigger chan<- struct{}) {
		p.write("")
		for range 20 {
			p.append("step\n")
			trigger <- struct{}{}
			synctest.Wait()
			time.Sleep(settle / 2)
			if len(c) != 0 {
				t.Fatal("announced between the steps")
			}
		}
		p.within(c, 2*settle)
		p.never(c)
	})
}

// A file that is gone, or empty, is no change; what it has when it is back may be.
func TestGone(t *testing.T) {
	bubble(t, func(t *testing.T, p *place, c <-chan struct{}, trigger chan<- struct{}) {
		for _, leave := range []func(){func() { p.must(os.Remove(p.file)) }, func() { p.write("") }} {
			for _, next := range []string{"first", "second", "first"} {
				old, err := os.ReadFile(p.file)
				p.must(err)
				leave()
				trigger <- struct{}{}
				p.never(c)
				p.write(next)
				if next == string(old) {
					p.never(c)
				} else {
					p.within(c, glanceTime+2*settle)
				}
			}
		}
	})
}

// A load that comes upon an editor at work has not read what was announced: it is
// announced again when it is back.
func TestLoadedInBetween(t *testing.T) {
	p := newPlace(t)
	for name, half := range map[string]func(){
		"half": func() { p.write("fir") }, "empty": func() { p.write("") }, "gone": func() { p.must(os.Remove(p.file)) },
	} {
		t.Run(name, func(t *testing.T) {
			p.write("first")
			synctest.Test(t, func(t *testing.T) {
				p := &place{t, p.dir, p.file}
				w := newWatcher(p.file, slog.New(slog.DiscardHandler))
				ctx, cancel := context.WithCancel(t.Context())
				go w.run(ctx, nil)
				load := func() { // what the content says is of no matter here
					_, _ = w.load(p.file)
					synctest.Wait()
				}
				load()
				p.never(w.out)
				half()
				load()
				p.write("first")
				p.within(w.out, glanceTime+2*settle)
				load()
				p.never(w.out)
				cancel()
				synctest.Wait()
			})
		})
	}
}

// Changes that nobody takes are one.
func TestCoalesce(t *testing.T) {
	bubble(t, func(t *testing.T, p *place, c <-chan struct{}, _ chan<- struct{}) {
		for i := range 5 {
			p.write(fmt.Sprint("content ", i))
			time.Sleep(time.Second)
		}
		<-c
		p.never(c)
	})
}

// A file that cannot be read is said once, and once when it is back.
func TestSaysMissing(t *testing.T) {
	p := newPlace(t)
	var buf lockedBuffer
	synctest.Test(t, func(t *testing.T) {
		w := newWatcher(p.file, slog.New(slog.NewTextHandler(&buf, nil)))
		ctx, cancel := context.WithCancel(t.Context())
		go w.run(ctx, nil)
		p.must(os.Remove(p.file))
		time.Sleep(10 * time.Second)
		p.write("second")
		time.Sleep(10 * time.Second)
		p.write("") // an emptied one is said too
		time.Sleep(10 * time.Second)
		p.write("third")
		time.Sleep(10 * time.Second)
		cancel()
		synctest.Wait()
	})
	text := buf.String()
	if strings.Count(text, "cannot be read") != 2 || strings.Count(text, "can be read again") != 2 || strings.Count(text, "is empty") != 1 {
		t.Errorf("log:\n%s", text)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func BenchmarkGlance(b *testing.B) {
	file := filepath.Join(b.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte("configpath: {a: ./a}"), 0o600); err != nil {
		b.Fatal(err)
	}
	w := newWatcher(file, slog.New(slog.DiscardHandler))
	for b.Loop() {
		if w.moved() {
			b.Fatal("moved")
		}
	}
}
