package logtailf

import (
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// statPath looks at the file that path leads to.
func statPath(path string) (fileStat, error) {
	var stx unix.Statx_t
	err := statx(unix.AT_FDCWD, path, 0, &stx)
	if err != nil {
		return fileStat{}, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return fromStatx(&stx), nil
}

// statFile looks at an open file.
func statFile(f *os.File) (fileStat, error) {
	var stx unix.Statx_t
	err := statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, &stx)
	if err != nil {
		return fileStat{}, &fs.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	return fromStatx(&stx), nil
}

func statx(fd int, path string, flags int, stx *unix.Statx_t) error {
	for {
		err := unix.Statx(fd, path, flags, unix.STATX_BASIC_STATS|unix.STATX_BTIME, stx)
		if err != unix.EINTR {
			return err
		}
	}
}

func fromStatx(stx *unix.Statx_t) fileStat {
	st := fileStat{
		identity: identity{dev: unix.Mkdev(stx.Dev_major, stx.Dev_minor), ino: stx.Ino},
		size:     int64(stx.Size),
		mtime:    stx.Mtime.Sec*1e9 + int64(stx.Mtime.Nsec),
		links:    uint64(stx.Nlink),
		mode:     unixMode(uint32(stx.Mode)),
	}
	if stx.Mask&unix.STATX_BTIME != 0 {
		st.born = stx.Btime.Sec*1e9 + int64(stx.Btime.Nsec)
	}
	return st
}

func unixMode(m uint32) fs.FileMode {
	mode := fs.FileMode(m & 0o777)
	switch m & unix.S_IFMT {
	case unix.S_IFDIR:
		mode |= fs.ModeDir
	case unix.S_IFIFO:
		mode |= fs.ModeNamedPipe
	case unix.S_IFCHR:
		mode |= fs.ModeDevice | fs.ModeCharDevice
	case unix.S_IFBLK:
		mode |= fs.ModeDevice
	case unix.S_IFSOCK:
		mode |= fs.ModeSocket
	}
	return mode
}

// descriptorLimit is how many files this process may hold open.
func descriptorLimit() int {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return 1024
	}
	return int(min(l.Cur, 1<<20))
}
