package logtailf

import (
	"os"
	"syscall"
)

func statPath(path string) (fileStat, error) { return fromInfo(os.Stat(path)) }

func statFile(f *os.File) (fileStat, error) { return fromInfo(f.Stat()) }

func fromInfo(fi os.FileInfo, err error) (fileStat, error) {
	if err != nil {
		return fileStat{}, err
	}
	sys := fi.Sys().(*syscall.Stat_t)
	return fileStat{
		identity: identity{uint64(sys.Dev), sys.Ino, sys.Birthtimespec.Nano()},
		size:     fi.Size(), mtime: fi.ModTime().UnixNano(), links: uint64(sys.Nlink), mode: fi.Mode(),
	}, nil
}

// descriptorLimit is how many files this process may hold open.
func descriptorLimit() int {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 256
	}
	return int(min(l.Cur, 1<<20))
}
