package logconfig

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/fsnotify/fsnotify"
	"github.com/spf13/viper"
)

// How a change is seen and how soon: at a trigger, or at the next glance, or at
// the next full look; then settle more.
const (
	settle     = 75 * time.Millisecond  // the content must be the same at two looks this far apart
	glanceTime = 150 * time.Millisecond // between looks at size, time and identity of the file
	fullEvery  = 6                      // glances (0.9 s); then the content is read whatever they say
)

// Watch returns a channel that gets a value whenever the content of the file has
// changed and settled, and a Load of that file. The channel holds one value: changes that nobody has taken
// yet are one change. It is never closed; nothing comes after ctx has ended.
//
// A change is one against the content that load has read last or, before the first
// one, that Watch found: load may come upon an editor at work, who leaves behind what
// was announced already. An empty file, and one that is not there, is no change
// but an editor at work; what comes after it may be one.
//
// Call it once a process and file, and load on one goroutine. Viper's watch has no stop: its two
// goroutines and its inotify instance stay until the file is removed or
// the process ends (goleak: IgnoreAnyFunction of viper.(*Viper).WatchConfig.func1
// and .func1.1). Watch's own goroutine ends with ctx.
func Watch(ctx context.Context, file string, log *slog.Logger) (changed <-chan struct{}, load func() (*Config, error)) {
	name := file
	if abs, err := filepath.Abs(file); err == nil {
		file = abs // the working folder may change
	}
	w := newWatcher(file, log)
	go w.run(ctx, trigger(file, log))
	return w.out, func() (*Config, error) { return w.load(name) }
}

// load is Load, and tells run what was read.
func (w *watcher) load(name string) (*Config, error) {
	config, data, err := load(name)
	select {
	case <-w.loaded:
	default:
	}
	w.loaded <- contentOf(data)
	return config, err
}

// trigger returns what viper's watch reports, or nil where there can be none.
//
// Viper only wakes us: its own idea of the configuration would be empty after a
// truncate-then-write, old after bad YAML, and a data race at any time. So its
// instance decodes nothing and nobody reads it. Its watch ends when the file is
// removed, and it calls os.Exit if it gets no inotify instance: hence the
// glances, and the trial before.
func trigger(file string, log *slog.Logger) <-chan struct{} {
	trial, err := fsnotify.NewWatcher()
	if err != nil {
		log.Warn("no notifications for the configuration file; looking at it instead", "file", file, "error", err)
		return nil
	}
	if err := trial.Close(); err != nil {
		log.Warn("closing the trial watcher", "error", err)
	}
	c := make(chan struct{}, 1)
	v := viper.NewWithOptions(viper.WithDecoderRegistry(noDecoder{}))
	v.SetConfigFile(file)
	v.SetConfigType("yaml")
	v.OnConfigChange(func(fsnotify.Event) { offer(c) })
	v.WatchConfig()
	return c
}

// noDecoder keeps viper's watch from parsing: a panic of the parser in its
// goroutine could not be recovered.
type noDecoder struct{}

func (noDecoder) Decoder(string) (viper.Decoder, error) { return noDecoder{}, nil }
func (noDecoder) Decode([]byte, map[string]any) error   { return nil }

// offer puts a value into c unless there is one.
func offer(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// errEmpty is said of a file that stays empty: an editor fills it again soon.
var errEmpty = errors.New("is empty")

// content stands for what a file holds; the zero value for nothing.
type content struct {
	size int
	sum  uint64
}

// A watcher looks at one file. Only its run touches it.
type watcher struct {
	file      string
	log       *slog.Logger
	out       chan struct{}
	loaded    chan content // what the last load has read
	announced content      // what the reader of out knows or will load, as far as is known
	candidate content      // what the last look found, if that was something else
	seen      os.FileInfo  // at the last look; nil: not there
	missing   bool         // said that the file cannot be read
}

func newWatcher(file string, log *slog.Logger) *watcher {
	w := &watcher{file: file, log: log, out: make(chan struct{}, 1), loaded: make(chan content, 1)}
	w.announced, _ = w.read()
	return w
}

func (w *watcher) run(ctx context.Context, trigger <-chan struct{}) {
	tick := time.NewTicker(glanceTime)
	defer tick.Stop()
	var settled <-chan time.Time // set while a candidate settles
	for glances := 0; ; {
		full := false
		select {
		case <-ctx.Done():
			return
		case <-settled:
			settled = nil
		case w.announced = <-w.loaded:
		case <-trigger:
		case <-tick.C:
			glances++
			full = glances%fullEvery == 0
			if !full && !w.moved() {
				continue
			}
		}
		// A look during the settling would take two reads in one write for agreement.
		if settled == nil && ctx.Err() == nil && w.look(full) {
			settled = time.After(settle)
		}
	}
}

// moved reports whether the file looks another than at the last look.
func (w *watcher) moved() bool {
	st, err := os.Stat(w.file)
	if err != nil || w.seen == nil {
		return (err == nil) != (w.seen != nil)
	}
	return st.Size() != w.seen.Size() || !st.ModTime().Equal(w.seen.ModTime()) || !os.SameFile(st, w.seen)
}

// look reads the file and announces its content if it is new and was the same
// at the look before. It reports whether there is a candidate to look at again.
func (w *watcher) look(full bool) bool {
	now, err := w.read()
	if err == nil && now.size == 0 {
		err = errEmpty
	}
	if full || err == nil {
		w.say(err)
	}
	switch {
	case err != nil || now == w.announced:
		w.candidate = content{}
	case now == w.candidate:
		w.announced, w.candidate = now, content{}
		offer(w.out)
	default:
		w.candidate = now
	}
	return w.candidate.size > 0
}

// read returns what the file holds. The status is taken before the content: if the
// file changes in between, the next glance sees it.
func (w *watcher) read() (content, error) {
	w.seen = nil
	st, err := os.Stat(w.file)
	if err != nil {
		return content{}, err
	}
	w.seen = st
	data, err := readFile(w.file)
	if err != nil {
		return content{}, err
	}
	return contentOf(data), nil
}

func contentOf(data []byte) content {
	if len(data) == 0 {
		return content{}
	}
	return content{len(data), xxhash.Sum64(data)}
}

// say reports once that the file cannot be read, and once that it can again.
func (w *watcher) say(err error) {
	switch {
	case err != nil && !w.missing:
		w.log.Warn("the configuration file cannot be read; what runs runs on", "file", w.file, "error", reasonOf(err))
	case err == nil && w.missing:
		w.log.Info("the configuration file can be read again", "file", w.file)
	}
	w.missing = err != nil
}
