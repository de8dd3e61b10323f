package traffic

import (
	"os"

	"golang.org/x/sys/windows"
)

// moveNew renames a file to a name that must be free; fs.ErrExist if it is not.
func moveNew(from, to string) error {
	old, err := windows.UTF16PtrFromString(from)
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	free, err := windows.UTF16PtrFromString(to)
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	// os.Rename would ask for MOVEFILE_REPLACE_EXISTING.
	if err := windows.MoveFileEx(old, free, 0); err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}
