package output

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/record"
	"github.com/logcatchsys/logcatchsys/logconfig"
)

// sayEvery bounds how often the log tells of rejected records.
const sayEvery = time.Minute

// A deadLetter is where an output puts the records that its far end will never take:
// a file of JSON lines, each the json record with why, by which output, and when. It
// holds each of them once, also after a kill, as the file output does; what Flush
// hands back is the output's undo note.
type deadLetter struct {
	spec   Spec
	env    Env
	format *record.Format
	file   Output        // nil: they are counted and given up
	half   *record.Batch // what a failed put has begun to write

	said   time.Time
	unsaid int // rejected since then
}

func newDeadLetter(spec Spec, env Env) (*deadLetter, error) {
	format, err := record.NewLines("json", env.Host)
	if err != nil {
		return nil, err
	}
	d := &deadLetter{spec: spec, env: env, format: format}
	switch {
	case spec.DeadLetter == "":
		return d, nil
	case strings.ContainsAny(spec.DeadLetter, "{}"): // to the file output it would be a template
		return nil, fmt.Errorf("dead_letter: %s: a path without braces is needed", spec.DeadLetter)
	}
	d.file, err = openFile(logconfig.Output{Name: spec.Name, Type: "file", Path: spec.DeadLetter, Sync: true}, env)
	if err != nil {
		return nil, fmt.Errorf("dead_letter: %w", err)
	}
	d.file.(*file).mode = 0o600 // it lies with the state, and holds lines
	d.file.(*file).far = spec.ExactlyOnce
	return d, nil
}

// put writes record number n of b down and counts it under label. After an error it
// is called again with the same record.
func (d *deadLetter) put(ctx context.Context, b *record.Batch, n int, label, reason string) error {
	if d.half == nil {
		d.half = d.letter(b, n, reason)
	}
	if d.file != nil {
		if err := d.file.Write(ctx, d.half); err != nil {
			return fmt.Errorf("dead letter %s: %w", d.spec.DeadLetter, err)
		}
	}
	d.say(d.half, reason)
	d.half = nil
	d.env.Dropped(b.Source, label, 1)
	return nil
}

// letter is the line of the file, in a batch of its own.
func (d *deadLetter) letter(b *record.Batch, n int, reason string) *record.Batch {
	one := record.Batch{Source: b.Source, File: b.File, Labels: b.Labels, Gen: b.Gen, Partial: b.Partial, Read: b.Read, Count: 1}
	b.Each(func(offset int64, message []byte) bool {
		if n > 0 {
			n--
			return true
		}
		one.From, one.Data = offset, message
		return false
	})
	if len(one.Data) == 0 {
		one.Data = []byte{'\n'} // an empty line is a record too
	}
	d.format.Encode(&one)
	line := append(one.Out[:len(one.Out)-len("}\n")], `,"reason":"`...)
	line = record.AppendJSONString(line, reason)
	line = append(line, `","output":"`...)
	line = record.AppendJSONString(line, d.spec.Name)
	line = append(line, `","at":"`...)
	line = d.env.Now().UTC().AppendFormat(line, time.RFC3339Nano)
	one.Out = append(line, "\"}\n"...)
	one.Partial, one.Data = nil, nil // a line of its own; Data was the caller's
	return &one
}

// say logs the first rejected record, and then at most one a minute.
func (d *deadLetter) say(one *record.Batch, reason string) {
	now := d.env.Now()
	if !d.said.IsZero() && now.Sub(d.said) < sayEvery {
		d.unsaid++
		return
	}
	where := "given up (no dead_letter)"
	if d.file != nil {
		where = "put into " + d.spec.DeadLetter
	}
	attrs := []any{"output", d.spec.Name, "source", one.Source, "file", one.File, "offset", one.From, "reason", reason}
	if d.unsaid > 0 {
		attrs = append(attrs, "before", fmt.Sprintf("%d more since %s", d.unsaid, d.said.Format(time.TimeOnly)))
	}
	d.env.Log.Warn("a record that will never be taken was "+where, attrs...)
	d.said, d.unsaid = now, 0
}

// Flush makes what was put durable.
func (d *deadLetter) Flush(ctx context.Context) ([]byte, error) {
	if d.file == nil {
		return nil, nil
	}
	undo, err := d.file.Flush(ctx)
	if err != nil {
		return nil, fmt.Errorf("dead letter %s: %w", d.spec.DeadLetter, err)
	}
	return undo, nil
}

func (d *deadLetter) Close() error {
	if d.unsaid > 0 {
		d.env.Log.Warn("more records that will never be taken", "output", d.spec.Name, "records", d.unsaid, "since", d.said.Format(time.TimeOnly))
		d.unsaid = 0
	}
	if d.file == nil {
		return nil
	}
	return d.file.Close()
}
