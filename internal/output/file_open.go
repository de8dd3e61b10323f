package output

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
)

// open makes sure that t is open and still the file that it was; if another one
// stands under its path by now, it gives a new target.
func (o *file) open(t *target) (*target, error) {
	if t.f != nil {
		return t, nil
	}
	if err := o.makeRoom(); err != nil {
		return nil, err
	}
	f, err := o.create(t.path)
	if err != nil {
		return nil, err
	}
	id, err := identityOf(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	size, torn, err := end(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if o.files[t.path] != nil && !id.same(t.id) {
		o.retire(t)
		t = &target{path: t.path, noted: -1, used: t.used}
	}
	if size != t.size { // new to us, or somebody else has changed it
		t.size, t.whole, t.noted = size, size, -1
		t.joint = joint{open: torn}
	}
	t.f, t.id = f, id
	o.files[t.path] = t
	return t, nil
}

// create opens path for appending. Its folders are made if they are missing.
func (o *file) create(path string) (*os.File, error) {
	info, err := os.Stat(path)
	switch {
	case err == nil && !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", path)
	case errors.Is(err, fs.ErrNotExist):
		for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
			o.dirs[dir] = true
			if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
				break
			}
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, o.mode)
}

// end is f's length, and whether its last line lacks its end.
func end(f *os.File) (size int64, torn bool, err error) {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return 0, false, err
	}
	var last [1]byte
	if _, err := f.ReadAt(last[:], info.Size()-1); err != nil {
		return 0, false, err
	}
	return info.Size(), last[0] != '\n', nil
}

// makeRoom closes the file that was not written for the longest time if too many
// are open.
func (o *file) makeRoom() error {
	var oldest *target
	open := 0
	for _, t := range o.files {
		if t.f == nil {
			continue
		}
		open++
		if oldest == nil || t.used.Before(oldest.used) {
			oldest = t
		}
	}
	if open < maxOpen {
		return nil
	}
	return o.release(oldest)
}

// release syncs t and closes it.
func (o *file) release(t *target) error {
	if err := o.syncTarget(t); err != nil {
		return err
	}
	return t.close()
}

// retire takes t, closed already, from its path. It stays in the notes until what
// was written to it is committed.
func (o *file) retire(t *target) {
	delete(o.files, t.path)
	o.old = append(o.old, t)
}

// look finds files that somebody else has moved, deleted or cut: logrotate, a
// person in want of space.
func (o *file) look() error {
	o.looked = o.now()
	for _, t := range o.files {
		if t.f == nil {
			continue
		}
		id, err := identityAt(t.path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !id.same(t.id) {
			if err := o.moved(t); err != nil {
				return err
			}
			continue
		}
		info, err := t.f.Stat()
		if err == nil && info.Size() < t.size {
			o.log.Warn(fmt.Sprintf("output %s: somebody else cut %s from %d to %d bytes; going on at its end", o.name, t.path, t.size, info.Size()))
			t.size, t.whole, t.noted = info.Size(), info.Size(), -1
			t.joint.open = false
		}
	}
	return nil
}

// moved lets a file go that is not under its path any more. What it holds of the
// batch in flight is taken out of it, to be written again with the rest: half a
// record must not stay behind, and a full disk may never take the other half.
func (o *file) moved(t *target) error {
	if part := t.size - t.whole; part > 0 {
		if err := t.f.Truncate(t.whole); err != nil {
			return err
		}
		o.done -= int(part)
		t.size, t.joint.open = t.whole, false
	}
	if err := o.release(t); err != nil {
		return err
	}
	o.retire(t)
	o.log.Info(fmt.Sprintf("output %s: somebody else moved or deleted %s; a new one is made", o.name, t.path))
	return nil
}

func (o *file) syncTarget(t *target) error {
	if o.sync && t.dirty && t.f != nil {
		if err := o.disk.sync(t.f); err != nil {
			o.lost = &LostError{Output: o.name, Err: err}
			return o.lost
		}
	}
	t.dirty = false
	return nil
}

// syncDirs makes new names durable. Only an input error counts: some file systems
// cannot sync a folder, and some folders may not be read.
func (o *file) syncDirs() error {
	for dir := range o.dirs {
		if f, err := os.Open(dir); o.sync && err == nil && runtime.GOOS != "windows" {
			err = errors.Join(f.Sync(), f.Close())
			if errors.Is(err, syscall.EIO) {
				return err
			}
		}
		delete(o.dirs, dir)
	}
	return nil
}

// forget keeps the note small: what is settled and was not written for long leaves
// it, and comes into it again before its next write.
func (o *file) forget() {
	o.old = slices.DeleteFunc(o.old, func(t *target) bool { return t.whole == t.size })
	var settled []*target
	for _, t := range o.files {
		if t.whole == t.size {
			settled = append(settled, t)
		}
	}
	slices.SortFunc(settled, func(a, b *target) int { return a.used.Compare(b.used) })
	now := o.now()
	for _, t := range settled {
		if len(o.files) <= maxKnown && now.Sub(t.used) < idle {
			return
		}
		t.close()
		delete(o.files, t.path)
	}
}
