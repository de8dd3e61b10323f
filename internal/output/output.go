// Package output delivers records: the outputs, one file each, behind one small
// interface, and the Pump that drives one of them. It knows nothing of how the
// bytes were found.
package output

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/checkpoint"
	"github.com/logcatchsys/logcatchsys/internal/record"
	"github.com/logcatchsys/logcatchsys/logconfig"
)

// Output is where records go. One goroutine, the Pump's, calls all its verbs.
//
// Errors are to be tried again after a pause, except *GoneError, *LostError and
// *FencedError. An error that holds a *BusyError asks for a longer pause.
type Output interface {
	// Write takes the whole batch (nil) or not yet the whole of it (an error): then it
	// is called again with the same batch, and goes on where it stopped. An output
	// that buffers copies what it needs: the batch is used again after a nil.
	Write(ctx context.Context, b *record.Batch) error

	// Flush makes all that was taken durable. It returns what the output must know
	// at its next start to undo all that comes after (nil: nothing to know). The
	// caller commits that together with the positions before it calls Write again.
	// Flush may be called between two tries of a Write: a batch that was not taken
	// whole counts as not taken.
	Flush(ctx context.Context) (undo []byte, err error)

	// Close lets go of everything, and gives up what was not flushed. It may be called
	// twice, and does not wait for the far end.
	Close() error
}

// An Encoder is an output that encodes batches itself. Followers call Encode side by
// side, on their own goroutines; it sets b.Out, and b.Spans where the output needs them.
type Encoder interface{ Encode(b *record.Batch) }

// A Keeper is an output that keeps positions itself, with the records.
type Keeper interface {
	// Positions gives what the far end holds, before anything is written. known says
	// whether the checkpoint has a position of that key: others may be forgotten when
	// they are old.
	Positions(ctx context.Context, known func(key string) bool) ([]checkpoint.Entry, error)
}

// Spec says which output to open.
type Spec = logconfig.Output

// Env is what an output gets from the process around it.
type Env struct {
	Host    string
	Undo    []byte                                   // the note that was committed last, nil: none
	Note    func(undo []byte) error                  // commits a note without positions, durably
	Dropped func(source, reason string, records int) // counts what is given up; nil: nobody counts
	Log     *slog.Logger
	Stdout  *Stdout          // shared by all outputs of the process; nil: os.Stdout
	Now     func() time.Time // nil: time.Now

	// Dial opens the connections of outputs over the network; nil: a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// A kind is a type of output.
type kind struct {
	open func(Spec, Env) (Output, error)

	// probe tries what delivering needs, and sends no record. samples are empty batches,
	// one for each source, by which templates are filled in.
	probe func(ctx context.Context, spec Spec, env Env, samples []*record.Batch) error

	maxLine func(Spec) int // see MaxLine
}

// upTo is a maxLine that does not depend on the specification.
func upTo(bytes int) func(Spec) int { return func(Spec) int { return bytes } }

const anyLength = 0

// A new output is one line here.
var kinds = map[string]kind{
	"stdout":        {openStdout, probeStdout, upTo(anyLength)},
	"file":          {openFile, probeFile, upTo(anyLength)},
	"http":          {openHTTP, probeHTTP, upTo(anyLength)},
	"elasticsearch": {openElasticsearch, probeElasticsearch, upTo(elasticsearchLine)},
	"syslog":        {openSyslog, probeSyslog, syslogMaxLine},
	"kafka":         {openKafka, probeKafka, upTo(kafkaLine)},
	"loki":          {openLoki, probeLoki, upTo(lokiLine)},
	"nats":          {openNATS, probeNATS, upTo(512 << 10)},
	"otlp":          {openOTLP, probeOTLP, upTo(1 << 20)},
}

func kindOf(spec Spec) (kind, error) {
	k, ok := kinds[spec.Type]
	if !ok {
		names := slices.Sorted(maps.Keys(kinds))
		return k, fmt.Errorf("output %s: unknown type %q: one of %s", spec.Name, spec.Type, strings.Join(names, ", "))
	}
	return k, nil
}

func (e Env) complete() Env {
	if e.Now == nil {
		e.Now = time.Now
	}
	if e.Dropped == nil {
		e.Dropped = func(string, string, int) {}
	}
	if e.Dial == nil {
		e.Dial = new(net.Dialer).DialContext
	}
	return e
}

// Open opens the output that spec describes. It does not wait for a far end. An error
// is final: it is in the specification, in a file that it names, or in the note.
func Open(spec Spec, env Env) (Output, error) {
	k, err := kindOf(spec)
	if err != nil {
		return nil, err
	}
	o, err := k.open(spec, env.complete())
	if err != nil {
		return nil, fmt.Errorf("output %s: %w", spec.Name, err)
	}
	return o, nil
}

// Probe tries whether the output that spec describes could deliver: that its far end
// is there, is the one it should be, and lets us in. It sends no record. The error
// says in one line what is wrong.
func Probe(ctx context.Context, spec Spec, env Env, samples []*record.Batch) error {
	k, err := kindOf(spec)
	if err != nil {
		return err
	}
	return explained(k.probe(ctx, spec, env.complete(), samples))
}

// MaxLine is how many bytes of a line the output surely takes in one record; 0: of
// any length.
func MaxLine(spec Spec) int {
	k, ok := kinds[spec.Type]
	if !ok {
		return anyLength
	}
	return k.maxLine(spec)
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

// A FencedError is final for its output: another process writes in its name. Nothing
// more may be written by this one; the other outputs are not concerned.
type FencedError struct {
	Output string
	Err    error
}

func (e *FencedError) Error() string {
	return fmt.Sprintf("output %s: another process has taken over: %v", e.Output, e.Err)
}

func (e *FencedError) Unwrap() error { return e.Err }

// A BusyError asks for a pause before the next try.
type BusyError struct {
	After time.Duration // at least; longer than an hour counts as an hour
	Err   error
}

func (e *BusyError) Error() string { return e.Err.Error() }

func (e *BusyError) Unwrap() error { return e.Err }
