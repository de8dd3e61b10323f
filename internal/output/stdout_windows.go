package output

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

func reopen(*os.File) (*os.File, error) { return nil, errors.ErrUnsupported }

func writeTo(_ context.Context, f *os.File, p []byte) (int, error) { return f.Write(p) }

func isGone(err error) bool {
	return errors.Is(err, windows.ERROR_BROKEN_PIPE) || errors.Is(err, windows.ERROR_NO_DATA) ||
		errors.Is(err, windows.ERROR_INVALID_HANDLE)
}
