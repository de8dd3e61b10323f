package output

import (
	"os"
	"syscall"
)

// identityAt is the identity of the file that stands at path now.
func identityAt(path string) (identity, error) {
	f, err := os.Open(path)
	if err != nil {
		return identity{}, err
	}
	defer f.Close()
	return identityOf(f)
}

// identityOf is the identity of an open file.
func identityOf(f *os.File) (identity, error) {
	var info syscall.ByHandleFileInformation
	if err := syscall.GetFileInformationByHandle(syscall.Handle(f.Fd()), &info); err != nil {
		return identity{}, &os.PathError{Op: "GetFileInformationByHandle", Path: f.Name(), Err: err}
	}
	return identity{
		Dev:  uint64(info.VolumeSerialNumber),
		Ino:  uint64(info.FileIndexHigh)<<32 | uint64(info.FileIndexLow),
		Born: info.CreationTime.Nanoseconds(),
	}, nil
}

func syncData(f *os.File) error { return f.Sync() }
