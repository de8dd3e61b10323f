package output

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// rotate renames path to path.1, path.1 to path.2 and so on; what would be more than
// keep is deleted. A crash in the middle leaves a gap, which the next one uses.
func (o *file) rotate(t *target) error {
	if err := o.release(t); err != nil { // Windows renames no open file
		return err
	}
	o.dirs[filepath.Dir(t.path)] = true
	gap, err := o.gap(t.path)
	if err != nil {
		return err
	}
	for n := gap; n > 1; n-- {
		if err := o.rename(generation(t.path, n-1), generation(t.path, n)); err != nil {
			return err
		}
	}
	if err := o.rename(t.path, generation(t.path, 1)); err != nil {
		return err
	}
	o.retire(t)
	return nil
}

// gap is the first number that is free; the last one is made free.
func (o *file) gap(path string) (int, error) {
	for n := 1; n <= o.keep; n++ {
		if _, err := os.Lstat(generation(path, n)); errors.Is(err, fs.ErrNotExist) {
			return n, nil
		} else if err != nil {
			return 0, err
		}
	}
	return o.keep, os.Remove(generation(path, o.keep))
}

func generation(path string, n int) string { return path + "." + strconv.Itoa(n) }

// rename takes it as done if somebody else was faster.
func (o *file) rename(from, to string) error {
	if err := o.disk.rename(from, to); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
