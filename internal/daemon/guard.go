package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"path"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/status"
)

// A PanicError is a panic that was caught.
type PanicError struct {
	Value any
	Where string // function and line that panicked
	Stack string
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic in %s: %v", e.Where, e.Value) }

// Guard runs f and makes an error (*PanicError) of a panic in it.
func Guard(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Where: panicked(), Stack: string(debug.Stack())}
		}
	}()
	return f()
}

// panicked finds the function that panicked: the first one that is not the
// runtime's, above the panic itself. For the deferred function that recovers.
func panicked() string {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	for inside := false; ; {
		f, more := frames.Next()
		switch {
		case f.Function == "runtime.gopanic":
			inside = true
		case inside && !strings.HasPrefix(f.Function, "runtime."):
			return fmt.Sprintf("%s (%s:%d)", path.Base(f.Function), path.Base(f.File), f.Line)
		case !more:
			return "an unknown place"
		}
	}
}

// TailFailed says that a tail goroutine ended by itself and starts again after pause.
func TailFailed(log *slog.Logger, m *status.Metrics, k status.Key, err error, pause time.Duration) {
	figures := m.Tail(k)
	figures.Restarted()
	figures.Stopped(fmt.Sprintf("failed and waits for its next start: %v", err))
	log.Error("a tail goroutine failed; it starts again from its position",
		"source", k.Source, "output", k.Output, "error", err, "pause", pause)
	if p := (*PanicError)(nil); errors.As(err, &p) {
		log.Debug("where it panicked", "source", k.Source, "output", k.Output, "stack", p.Stack)
	}
}
