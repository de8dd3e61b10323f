package output

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/logcatchsys/logcatchsys/internal/record"
)

func probeStdout(context.Context, Spec, Env, []*record.Batch) error { return nil }

// probeFile tries to make a file in each folder that records would go to now, or in
// the nearest one above it that is there.
func probeFile(_ context.Context, spec Spec, env Env, samples []*record.Batch) error {
	path, err := parseTemplate("path", spec.Path)
	if err != nil {
		return err
	}
	tried := map[string]bool{}
	for _, b := range samples {
		file := path.fill(b, env.Host, safeName)
		if info, err := os.Stat(file); err == nil && !info.Mode().IsRegular() {
			return fmt.Errorf("%s is not a regular file", file)
		}
		dir := nearestFolder(filepath.Dir(file))
		if tried[dir] {
			continue
		}
		tried[dir] = true
		f, err := os.CreateTemp(dir, ".logcatchsys-check-*")
		if err != nil {
			return fmt.Errorf("no file can be made in %s: %w", dir, errors.Unwrap(err))
		}
		if err := errors.Join(f.Close(), os.Remove(f.Name())); err != nil {
			return fmt.Errorf("removing the file that was made as a try: %w", err)
		}
	}
	return nil
}

// nearestFolder is dir, or what is there of the path to it.
func nearestFolder(dir string) string {
	for {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}
