package main

import (
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/logcatchsys/logcatchsys/internal/daemon/e2e"
	"github.com/logcatchsys/logcatchsys/internal/leak"
	"github.com/logcatchsys/logcatchsys/logtailf"
)

func TestMain(m *testing.M) {
	remove, err := e2e.Build()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// Viper's watch has no stop; all else must have ended.
	// Its fsnotify goroutine looks like the hub's; but that one has a reader besides.
	code := leak.Run(m,
		goleak.IgnoreAnyFunction("github.com/spf13/viper.(*Viper).WatchConfig.func1"),
		goleak.IgnoreAnyFunction("github.com/spf13/viper.(*Viper).WatchConfig.func1.1"),
		goleak.IgnoreAnyFunction("github.com/fsnotify/fsnotify.(*inotify).readEvents"))
	remove()
	os.Exit(code)
}

// inside runs the program in this process.
func inside(t *testing.T, args ...string) *e2e.Program {
	t.Helper()
	return e2e.Inside(t, run, args...)
}

// hook has do called with every batch that is read, and counts the followers made.
func hook(t *testing.T, do func(key)) (starts func(source string) int64) {
	t.Helper()
	counts := map[string]*atomic.Int64{}
	for _, name := range []string{"a", "b", "c", "bad", "good"} {
		counts[name] = &atomic.Int64{}
	}
	before := wrapMetrics
	t.Cleanup(func() { wrapMetrics = before })
	wrapMetrics = func(k key, m logtailf.Metrics) logtailf.Metrics {
		if n := counts[k.Source]; n != nil {
			n.Add(1)
		}
		return hooked{m, func() { do(k) }}
	}
	return func(source string) int64 { return counts[source].Load() }
}

type hooked struct {
	logtailf.Metrics
	do func()
}

func (h hooked) Read(bytes, records int) {
	h.do()
	h.Metrics.Read(bytes, records)
}
