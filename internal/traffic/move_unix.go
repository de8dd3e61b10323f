//go:build !windows

package traffic

import "os"

// linkMove is a rename that does not overwrite; for a moment the file has both names.
func linkMove(from, to string) error {
	if err := os.Link(from, to); err != nil {
		return err
	}
	return os.Remove(from)
}
