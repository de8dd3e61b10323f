package output

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// identityAt is the identity of the file that stands at path now.
func identityAt(path string) (identity, error) {
	if id, ok := statx(unix.AT_FDCWD, path, 0); ok {
		return id, nil
	}
	info, err := os.Stat(path)
	return fromStat(info, err)
}

// identityOf is the identity of an open file.
func identityOf(f *os.File) (identity, error) {
	if id, ok := statx(int(f.Fd()), "", unix.AT_EMPTY_PATH); ok {
		return id, nil
	}
	info, err := f.Stat()
	return fromStat(info, err)
}

// statx may be missing: old kernels, sandboxes. Then there is no birth time.
func statx(dir int, path string, flags int) (identity, bool) {
	var st unix.Statx_t
	err := ignoringEINTR(func() error {
		return unix.Statx(dir, path, flags, unix.STATX_INO|unix.STATX_BTIME, &st)
	})
	id := identity{Dev: unix.Mkdev(st.Dev_major, st.Dev_minor), Ino: st.Ino}
	if st.Mask&unix.STATX_BTIME != 0 {
		id.Born = st.Btime.Sec*1e9 + int64(st.Btime.Nsec)
	}
	return id, err == nil
}

func fromStat(info os.FileInfo, err error) (identity, error) {
	if err != nil {
		return identity{}, err
	}
	st := info.Sys().(*syscall.Stat_t)
	return identity{Dev: uint64(st.Dev), Ino: st.Ino}, nil
}

// syncData puts a file's bytes and length on the disk, its times not.
func syncData(f *os.File) error {
	err := ignoringEINTR(func() error { return unix.Fdatasync(int(f.Fd())) })
	if err != nil {
		return &os.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
	}
	return nil
}

func ignoringEINTR(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
