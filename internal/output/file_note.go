package output

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A note is what is committed with the positions.
type note struct {
	Files []noted `json:"files"`
}

// noted is one file in it.
type noted struct {
	Path string `json:"path"` // where it is written; it may lie in a generation by now
	identity
	Size int64 `json:"size"`          // what is longer came after the commit
	Far  bool  `json:"far,omitempty"` // a later length may be committed at the far end, with the records
}

func decodeNote(undo []byte) ([]noted, error) {
	var n note
	if len(undo) == 0 {
		return nil, nil
	}
	if err := json.Unmarshal(undo, &n); err != nil {
		return nil, fmt.Errorf("reading the committed lengths of its files: %w", err)
	}
	for _, f := range n.Files {
		if f.Size < 0 || !filepath.IsAbs(f.Path) {
			return nil, fmt.Errorf("reading the committed lengths of its files: %q with %d bytes", f.Path, f.Size)
		}
	}
	return n.Files, nil
}

// known is all files that a note has to hold: what is not in it is not cut back.
func (o *file) known() []*target {
	all := slices.Clone(o.old)
	for _, t := range o.files {
		all = append(all, t)
	}
	return all
}

// encodeNote is the last committed note, with extra in it.
func (o *file) encodeNote(extra *target) []byte {
	var n note
	for _, t := range o.known() {
		size := t.noted
		if t == extra {
			size = t.size
		}
		if size >= 0 {
			n.Files = append(n.Files, noted{Path: t.path, identity: t.id, Size: size, Far: o.far})
		}
	}
	out, _ := json.Marshal(n) // strings and numbers only: cannot fail
	return out
}

// noteAlone commits the length of a file that no note knows yet, beside what is
// committed for the others.
func (o *file) noteAlone(t *target) error {
	if o.note != nil {
		if err := o.note(o.encodeNote(t)); err != nil {
			return fmt.Errorf("noting the length of %s: %w", t.path, err)
		}
	}
	t.noted = t.size
	return nil
}

// cutBack undoes what the last run wrote after its last commit.
func (o *file) cutBack() error {
	for len(o.undo) > 0 {
		n := o.undo[0]
		path, err := locate(n)
		if err == nil && path == "" {
			if n.Size > 0 {
				o.log.Info(fmt.Sprintf("output %s: %s is gone, with %d committed bytes", o.name, n.Path, n.Size))
			}
		} else if err == nil {
			err = o.cut(n, path)
		}
		if err != nil {
			return fmt.Errorf("cutting %s back to %d bytes: %w", n.Path, n.Size, err)
		}
		o.undo = o.undo[1:]
	}
	return nil
}

// CutBack undoes what an output that is not configured any more, and does not run,
// wrote after its last commit: it comes again if that output returns, and nobody
// else's bytes stand behind it yet. The caller drops the note afterwards, whatever came
// of it, before another output is opened: the files may become others'.
func CutBack(name string, undo []byte, log *slog.Logger) {
	files, err := decodeNote(undo)
	if err != nil {
		log.Warn(fmt.Sprintf("output %s, which is not configured any more: %v", name, err))
	}
	o := &file{name: name, log: log, now: time.Now, sync: true, disk: disk{sync: syncData}, files: map[string]*target{}}
	for _, n := range files {
		if n.Far { // it may be cut too short; rather a record twice
			continue
		}
		o.undo = []noted{n}
		if err := o.cutBack(); err != nil {
			log.Warn(fmt.Sprintf("output %s, which is not configured any more: %v; what it wrote after its last commit stays", name, err))
		}
	}
}

// HasNote says whether spec's output undoes by its note, when it is opened, what it
// wrote after its last commit.
func HasNote(spec Spec) bool { return spec.Type == "file" || spec.DeadLetter != "" }

// locate finds a noted file under its path or, when it was rotated since, by us or
// by somebody else, among the names beside it that begin like it. Empty: nowhere.
func locate(n noted) (string, error) {
	if is(n, n.Path) {
		return n.Path, nil
	}
	entries, err := os.ReadDir(filepath.Dir(n.Path))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	for _, e := range entries {
		path := filepath.Join(filepath.Dir(n.Path), e.Name())
		if e.Type().IsRegular() && strings.HasPrefix(e.Name(), filepath.Base(n.Path)) && is(n, path) {
			return path, nil
		}
	}
	return "", err
}

func is(n noted, path string) bool {
	id, err := identityAt(path)
	return err == nil && id.same(n.identity)
}

// cut takes from the file that lies at path what came after the commit.
func (o *file) cut(n noted, path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	size, torn, err := o.shorten(f, n.Size)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if path != n.Path {
		if n.Size == 0 { // a generation of which nothing was committed
			return os.Remove(path)
		}
		return nil
	}
	t := &target{path: path, id: n.identity, size: size, whole: size, noted: n.Size, used: o.now(), joint: joint{open: torn}}
	if size != n.Size {
		t.noted = -1
	}
	o.files[path] = t
	return nil
}

// shorten cuts f to at most size bytes. It gives what is left, as end does.
func (o *file) shorten(f *os.File, size int64) (left int64, torn bool, err error) {
	info, err := f.Stat()
	if err != nil {
		return 0, false, err
	}
	if info.Size() < size {
		o.log.Warn(fmt.Sprintf("output %s: %s has %d bytes, %d were committed: somebody else cut it, or the machine stopped before they were on the disk; going on at its end", o.name, f.Name(), info.Size(), size))
	}
	if info.Size() > size {
		o.log.Debug(fmt.Sprintf("output %s: cutting %s back from %d to %d bytes", o.name, f.Name(), info.Size(), size))
		if err := f.Truncate(size); err != nil {
			return 0, false, err
		}
		if o.sync {
			if err := o.disk.sync(f); err != nil {
				return 0, false, err
			}
		}
	}
	return end(f)
}
