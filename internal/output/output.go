// Package output delivers records: the outputs, one file each, behind one small
// interface, and the Pump that drives one of them. It knows nothing of how the
// bytes were found.
package output

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/record"
)

// Output is where records go. One goroutine, the Pump's, calls all its verbs.
//
// Errors are to be tried again after a pause, except *GoneError and *LostError.
type Output interface {
	// Write takes the whole batch (nil) or not yet the whole of it (an error): then it
	// is called again with the same batch, and goes on where it stopped.
	Write(ctx context.Context, b *record.Batch) error

	// Flush makes all that was taken durable. It returns what the output must know
	// at its next start to undo all that comes after (nil: nothing to know). The
	// caller commits that together with the positions before it calls Write again.
	// Flush may be called between two tries of a Write: a batch that was not taken
	// whole counts as not taken.
	Flush(ctx context.Context) (undo []byte, err error)

	// Close lets go of everything. It may be called twice.
	Close() error
}

// Spec says which output to open.
type Spec struct {
	Name    string
	Type    string // stdout, file
	Format  string // text, raw, json
	Path    string // file: an absolute path template, see File
	MaxSize int64  // file: bytes after which it is rotated; 0: never
	Keep    int    // file: rotated generations that are kept, at least 1
	Sync    bool   // file: on the disk before a position is committed
}

// Env is what an output gets from the process around it.
type Env struct {
	Host   string
	Undo   []byte                  // the note that was committed last, nil: none
	Note   func(undo []byte) error // commits a note without positions, durably
	Log    *slog.Logger
	Stdout *os.File
	Now    func() time.Time // nil: time.Now
}

// A new output is one line here.
var types = map[string]func(Spec, Env) (Output, error){
	"stdout": openStdout,
	"file":   openFile,
}

// Open opens the output that spec describes. An error is final: it is in the
// specification or in the note.
func Open(spec Spec, env Env) (Output, error) {
	open, ok := types[spec.Type]
	if !ok {
		names := slices.Sorted(maps.Keys(types))
		return nil, fmt.Errorf("output %s: unknown type %q: one of %s", spec.Name, spec.Type, strings.Join(names, ", "))
	}
	if env.Now == nil {
		env.Now = time.Now
	}
	o, err := open(spec, env)
	if err != nil {
		return nil, fmt.Errorf("output %s: %w", spec.Name, err)
	}
	return o, nil
}

// A GoneError is final: nobody reads this output any more.
type GoneError struct {
	Output string
	Err    error
}

func (e *GoneError) Error() string {
	return fmt.Sprintf("output %s: the reader is gone: %v", e.Output, e.Err)
}

func (e *GoneError) Unwrap() error { return e.Err }

// A LostError says that what was written since the last commit may not be there
// any more: after a failed sync the kernel forgets what it could not write, and a
// second sync would report success. The output must be opened anew, with the note
// that was committed last, and its followers go on from the committed positions.
type LostError struct {
	Output string
	Err    error
}

func (e *LostError) Error() string {
	return fmt.Sprintf("output %s: what was written since the last commit may be lost: %v", e.Output, e.Err)
}

func (e *LostError) Unwrap() error { return e.Err }
