//go:build !linux && !windows

package traffic

// moveNew renames a file to a name that must be free; fs.ErrExist if it is not.
func moveNew(from, to string) error { return linkMove(from, to) }
