//go:build !linux

package logtailf

import (
	"os"
	"path/filepath"
)

// listNames lists the names in a folder with the numbers of their files.
func listNames(dir string) (map[string]uint64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := make(map[string]uint64, len(entries))
	for _, e := range entries {
		st, err := statPath(filepath.Join(dir, e.Name()))
		if err != nil {
			continue // gone meanwhile
		}
		names[e.Name()] = st.ino
	}
	return names, nil
}

// seekData is the first offset at or behind the given one that is not in a hole.
func seekData(_ *os.File, offset int64) int64 { return offset }
