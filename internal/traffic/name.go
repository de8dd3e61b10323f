package traffic

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// stampFormat is the yyyymmddhhmmss of a generation's name.
const stampFormat = "20060102150405"

// compressedExts are what a generation's name may have grown by; a name is free only without them.
var compressedExts = []string{"", ".gz", ".zst"}

// namer remembers the last name, so that many rotations in one second need not try all names again.
type namer struct {
	stamp string
	n     int
}

// place finds the name of a new generation and calls put with it, again with the next one while put
// fails because the name is taken: names that only look free may be taken by another process.
func (l *log) place(put func(to string) error) (string, error) {
	if l.Naming == Index {
		return placeIndexed(l.source.Path, put)
	}
	if stamp := l.time().Format(stampFormat); stamp != l.names.stamp {
		l.names = namer{stamp: stamp}
	}
	for ; ; l.names.n++ {
		to := filepath.Join(filepath.Dir(l.source.Path), l.names.String())
		if taken(to) != "" {
			continue
		}
		if err := put(to); !errors.Is(err, fs.ErrExist) {
			return to, err
		}
	}
}

func (n namer) String() string {
	if n.n == 0 {
		return n.stamp + ".txt"
	}
	return n.stamp + "-" + strconv.Itoa(n.n) + ".txt"
}

// placeIndexed moves path.1 to path.2 and so on, the oldest first, and puts the new one at path.1.
// No step overwrites: if another process is at it too, it begins again with what it finds then.
func placeIndexed(path string, put func(to string) error) (string, error) {
	if _, err := os.Stat(path); err != nil {
		return "", err // no new generation: leave the chain as it is
	}
	first := indexed(path, 1)
	for {
		err := shift(path)
		if err == nil {
			err = put(first)
		}
		if !errors.Is(err, fs.ErrExist) {
			return first, err
		}
	}
}

// shift makes path.1 free.
func shift(path string) error {
	free := 1
	for taken(indexed(path, free)) != "" {
		free++
	}
	for i := free - 1; i >= 1; i-- {
		from := taken(indexed(path, i))
		if from == "" {
			continue // gone since: another process moves them too
		}
		ext := from[len(indexed(path, i)):]
		err := moveNew(from, indexed(path, i+1)+ext)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func indexed(path string, i int) string { return path + "." + strconv.Itoa(i) }

// taken is the file that has the name, compressed or not; "" if none has.
func taken(name string) string {
	for _, ext := range compressedExts {
		if _, err := os.Lstat(name + ext); err == nil {
			return name + ext
		}
	}
	return ""
}
