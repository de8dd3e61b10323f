package output

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/record"
)

const (
	maxOpen   = 64          // open files of one output
	maxKnown  = 1024        // files in a note
	idle      = time.Hour   // after which a file leaves the note
	lookEvery = time.Second // how late a file that somebody else moved is noticed
)

// file appends records to files whose names come from a template, and rotates
// them by size.
//
// Every record is in them once, also after a kill at any moment. What a Flush hands
// back, the note, holds the length of each file; it is committed together with
// the positions, and at the next start what is longer is cut back. So no byte may
// go into a file before a committed note knows it: that is why Write commits one
// itself when it meets a file for the first time. A file may be renamed between
// two commits, so notes name files by identity, and by path only to find them.
type file struct {
	name    string
	path    template
	host    string
	maxSize int64
	keep    int
	sync    bool
	mode    os.FileMode // of files that are made
	far     bool        // its notes are committed at the far end first
	note    func([]byte) error
	log     *slog.Logger
	now     func() time.Time
	disk    disk

	files   map[string]*target // by path
	old     []*target          // written since the last Flush, but not under their path any more
	touched []*target          // hold a part of the batch in flight
	dirs    map[string]bool    // folders in which names have changed since the last Flush
	undo    []noted            // what is yet to be cut back after the last run
	done    int                // bytes of the batch in flight that are written
	looked  time.Time
	lost    error // a sync failed: final
}

// A target is one file that is written, or was lately.
type target struct {
	path  string
	f     *os.File // nil: closed for now
	id    identity
	size  int64 // bytes in it
	whole int64 // … of batches that were taken whole
	noted int64 // its length in the committed note, -1: in none
	dirty bool  // written since it was synced
	used  time.Time
	joint joint
}

// disk is what can fail; tests make it.
type disk struct {
	write  func(*os.File, []byte) (int, error)
	sync   func(*os.File) error
	rename func(from, to string) error
}

func openFile(spec Spec, env Env) (Output, error) {
	path, err := parseTemplate("path", spec.Path)
	if err != nil {
		return nil, err
	}
	undo, err := decodeNote(env.Undo)
	if err != nil {
		return nil, err
	}
	o := &file{
		name: spec.Name, path: path, host: env.Host,
		maxSize: spec.MaxSize, keep: max(spec.Keep, 1), sync: spec.Sync, mode: 0o644,
		note: env.Note, log: env.Log, now: env.Now,
		disk:  disk{write: (*os.File).Write, sync: syncData, rename: os.Rename},
		files: map[string]*target{}, dirs: map[string]bool{},
		undo: undo,
	}
	if err := o.cutBack(); err != nil {
		// The disk may come back: Write tries again, and lets nothing pass before.
		o.log.Warn(fmt.Sprintf("output %s: %v", o.name, err))
	}
	return o, nil
}

func (o *file) Write(ctx context.Context, b *record.Batch) error {
	if err := errors.Join(o.lost, ctx.Err()); err != nil {
		return err
	}
	if err := o.cutBack(); err != nil {
		return err
	}
	for o.done < len(b.Out) {
		t, err := o.target(b)
		if err != nil {
			return err
		}
		n := o.fits(t, b.Out[o.done:])
		if n == 0 {
			err = o.rotate(t)
		} else {
			err = o.append(t, b, b.Out[o.done:o.done+n])
		}
		if err != nil {
			return err
		}
	}
	o.done = 0
	for _, t := range o.touched {
		t.whole = t.size
	}
	o.touched = o.touched[:0]
	return nil
}

// target gives the file that the next bytes of b go to: open, known to a committed
// note, and at the end of a line unless b goes on with it.
func (o *file) target(b *record.Batch) (*target, error) {
	now := o.now()
	if now.Sub(o.looked) >= lookEvery {
		if err := o.look(); err != nil {
			return nil, err
		}
	}
	path := o.path.fill(b, o.host, safeName)
	if b.Partial != nil && b.Partial.Piece > 0 {
		path = o.begun(b, path)
	}
	t := o.files[path]
	if t == nil {
		t = &target{path: path, noted: -1}
	}
	t.used = now
	t, err := o.open(t)
	if err != nil {
		return nil, err
	}
	if t.noted < 0 {
		if err := o.noteAlone(t); err != nil {
			return nil, err
		}
	}
	if o.done == 0 && t.joint.needsBreak(b) {
		if _, err := o.disk.write(t.f, lineEnd); err != nil {
			return nil, err
		}
		t.size, t.whole, t.dirty = t.size+1, t.whole+1, true
		t.joint.open = false
	}
	return t, nil
}

// begun is the path of the file that holds the first pieces of b's line: a raw line
// is not torn when the hour changes.
func (o *file) begun(b *record.Batch, path string) string {
	for _, t := range o.files {
		if b.Key != "" && t.joint.key == b.Key && t.joint.continues(b) {
			return t.path
		}
	}
	return path
}

// fits is how many bytes of rest go into t before it is rotated: whole records.
// A file grows over max_size only by a record that is larger by itself.
func (o *file) fits(t *target, rest []byte) int {
	room := o.maxSize - t.size
	if o.maxSize == 0 || int64(len(rest)) <= room {
		return len(rest)
	}
	if room > 0 {
		if i := bytes.LastIndexByte(rest[:room], '\n'); i >= 0 {
			return i + 1
		}
	}
	if t.size > 0 && !t.joint.open {
		return 0
	}
	if i := bytes.IndexByte(rest, '\n'); i >= 0 {
		return i + 1
	}
	return len(rest)
}

// append writes run, a part of b. After an error o.done and t.size say how far it
// came, so that the next try goes on there.
func (o *file) append(t *target, b *record.Batch, run []byte) error {
	if t.size == t.whole {
		o.touched = append(o.touched, t)
	}
	n, err := o.disk.write(t.f, run)
	t.size += int64(n)
	t.dirty = true
	t.joint.wrote(b, run[:n])
	o.done += n
	return err
}

// Syncs reports whether Flush waits for the disk.
func (o *file) Syncs() bool { return o.sync }

// Flush notes what batches taken whole have left in each file.
func (o *file) Flush(context.Context) ([]byte, error) {
	if o.lost != nil {
		return nil, o.lost
	}
	if err := o.look(); err != nil {
		return nil, err
	}
	for _, t := range o.files {
		if err := o.syncTarget(t); err != nil {
			return nil, err
		}
	}
	if err := o.syncDirs(); err != nil {
		return nil, err
	}
	o.forget()
	if len(o.files)+len(o.old) == 0 {
		return nil, nil
	}
	for _, t := range o.known() {
		t.noted = t.whole
	}
	return o.encodeNote(nil), nil
}

// Close leaves what was not flushed to the next start, which cuts it back.
func (o *file) Close() error {
	var errs []error
	for _, t := range o.files {
		errs = append(errs, t.close())
	}
	return errors.Join(errs...)
}

func (t *target) close() error {
	f := t.f
	t.f = nil
	if f == nil {
		return nil
	}
	return f.Close()
}
