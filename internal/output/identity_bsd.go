//go:build darwin || freebsd

package output

import (
	"os"
	"syscall"
)

// identityAt is the identity of the file that stands at path now.
func identityAt(path string) (identity, error) {
	info, err := os.Stat(path)
	return fromStat(info, err)
}

// identityOf is the identity of an open file.
func identityOf(f *os.File) (identity, error) {
	info, err := f.Stat()
	return fromStat(info, err)
}

func fromStat(info os.FileInfo, err error) (identity, error) {
	if err != nil {
		return identity{}, err
	}
	st := info.Sys().(*syscall.Stat_t)
	return identity{Dev: uint64(st.Dev), Ino: st.Ino, Born: syscall.TimespecToNsec(st.Birthtimespec)}, nil
}

func syncData(f *os.File) error { return f.Sync() }
