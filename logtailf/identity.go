package logtailf

import (
	"io"
	"io/fs"
	"os"

	"github.com/cespare/xxhash/v2"
)

// An identity tells files apart whatever they are called. Together with the
// fingerprint of the content it tells an old file from a new one in its inode.
type identity struct {
	dev, ino uint64
	born     int64 // birth time in Unix nanoseconds, 0 where the file system has none
}

// inode is the part of an identity by which files are looked up.
type inode struct{ dev, ino uint64 }

func (id identity) inode() inode { return inode{id.dev, id.ino} }

// A fileStat is what the follower wants to know of a file.
type fileStat struct {
	identity
	size  int64
	mtime int64 // Unix nanoseconds
	links uint64
	mode  fs.FileMode
}

// kept reports whether a path of this mode has positions to read on from.
func (st fileStat) kept() bool { return st.mode.IsRegular() }

// pipelike reports whether lines come out of a path that has no positions.
func (st fileStat) pipelike() bool {
	return st.mode&fs.ModeNamedPipe != 0 || st.mode&fs.ModeCharDevice != 0
}

// sumOf is the sum of all of b.
func sumOf(b []byte) sum { return sum{len(b), xxhash.Sum64(b)} }

// headOf is the fingerprint of a file that starts with b. NULs at the end are left
// out: in a preallocated file they are still to be overwritten.
func headOf(b []byte) sum {
	b = trimNUL(b[:min(len(b), headMax)])
	if len(b) == 0 {
		return sum{}
	}
	return sumOf(b)
}

// trimNUL cuts the NULs at the end of b off.
func trimNUL(b []byte) []byte {
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	return b
}

// matches reports whether the bytes of r that end at offset are those that s was made of.
func (s sum) matches(r io.ReaderAt, offset int64, scratch []byte) (bool, error) {
	if s.n == 0 {
		return true, nil
	}
	b := scratch[:s.n]
	n, err := r.ReadAt(b, offset-int64(s.n))
	if n < len(b) {
		if err == io.EOF {
			err = nil
		}
		return false, err
	}
	return xxhash.Sum64(b) == s.hash, nil
}

// readHead reads the fingerprint of the plain file at path.
func readHead(f *os.File, scratch []byte) (sum, error) {
	n, err := f.ReadAt(scratch[:headMax], 0)
	if err != nil && err != io.EOF {
		return sum{}, err
	}
	return headOf(scratch[:n]), nil
}

// kindOf names what stands at a path where a file is wanted.
func kindOf(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a folder"
	case mode&fs.ModeDevice != 0:
		return "a device"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	}
	return "something else"
}
