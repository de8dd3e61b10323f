package logtailf

import (
	"io/fs"
	"os"

	"github.com/hpcloud/tail"
	"golang.org/x/sys/windows"
)

// statPath looks at the file that path leads to. Its index, which is its
// identity, is known only of an open file.
func statPath(path string) (fileStat, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return fileStat{}, err
	}
	if !fi.Mode().IsRegular() {
		return fileStat{size: fi.Size(), mtime: fi.ModTime().UnixNano(), links: 1, mode: fi.Mode()}, nil
	}
	f, err := tail.OpenFile(path)
	if err != nil {
		return fileStat{}, err
	}
	defer f.Close()
	return statFile(f)
}

func statFile(f *os.File) (fileStat, error) {
	fi, err := f.Stat()
	if err != nil {
		return fileStat{}, err
	}
	var d windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(windows.Handle(f.Fd()), &d); err != nil {
		return fileStat{}, &fs.PathError{Op: "GetFileInformationByHandle", Path: f.Name(), Err: err}
	}
	return fileStat{
		identity: identity{
			dev:  uint64(d.VolumeSerialNumber),
			ino:  uint64(d.FileIndexHigh)<<32 | uint64(d.FileIndexLow),
			born: d.CreationTime.Nanoseconds(),
		},
		size: fi.Size(), mtime: fi.ModTime().UnixNano(), links: uint64(d.NumberOfLinks), mode: fi.Mode(),
	}, nil
}

// descriptorLimit is how many files this process may hold open; Windows has no
// limit worth the name.
func descriptorLimit() int { return 1 << 14 }
