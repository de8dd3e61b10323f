//go:build unix

package logtailf

import (
	"fmt"
	"io/fs"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// descriptors is the folder that has this process's open files by number.
var descriptors = func() string {
	if runtime.GOOS == "linux" {
		return "/proc/self/fd/" // there without udev too
	}
	return "/dev/fd/"
}()

// openPipe opens a named pipe or character device without waiting for a writer or
// a carrier, and without making a terminal the one of this process.
func openPipe(path string) (*pipeSource, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	s := &pipeSource{path: path, file: f, idle: pause}
	switch mode := info.Mode(); {
	case mode&fs.ModeNamedPipe != 0:
		s.fifo = true
		s.writer = openWriter(path, info)
	case mode&fs.ModeCharDevice == 0:
		f.Close()
		return nil, fmt.Errorf("%s is neither a named pipe nor a character device any more", path)
	}
	return s, nil
}

// openWriter opens the pipe for writing; it does not wait, since a reader is there.
func openWriter(path string, pipe fs.FileInfo) *os.File {
	w, err := os.OpenFile(path, os.O_WRONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil // without the right to write it is read with pauses
	}
	if info, err := w.Stat(); err != nil || !os.SameFile(pipe, info) {
		w.Close() // replaced between the two
		return nil
	}
	return w
}
