//go:build unix

package output

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// reopen opens the pipe behind f a second time, not to block. To make f itself
// non-blocking would do the same to every process that shares it, the shell among
// them. Works on Linux; an error elsewhere.
func reopen(f *os.File) (own *os.File, err error) {
	cerr := control(f, func(fd int) {
		own, err = os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", fd), os.O_WRONLY|syscall.O_NONBLOCK, 0)
	})
	return own, errors.Join(err, cerr)
}

// writeTo is one write. os.File.Write would let SIGPIPE kill the process when the
// reader of descriptor 1 is gone; the system call reports EPIPE.
func writeTo(ctx context.Context, f *os.File, p []byte) (n int, err error) {
	cerr := control(f, func(fd int) {
		for {
			n, err = syscall.Write(fd, p)
			if errors.Is(err, syscall.EAGAIN) { // somebody who shares it made it non-blocking
				err = waitWritable(ctx, fd)
			}
			if n > 0 || err != nil && !errors.Is(err, syscall.EINTR) {
				return
			}
		}
	})
	return max(n, 0), errors.Join(err, cerr)
}

// waitWritable waits until fd takes bytes again.
func waitWritable(ctx context.Context, fd int) error {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	for ctx.Err() == nil {
		n, err := unix.Poll(fds, 100) // ms: how late a cancelled ctx may be seen
		if err != nil && !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("poll", err)
		}
		if n > 0 {
			return nil
		}
	}
	return ctx.Err()
}

// control calls use with f's descriptor. File.Fd would make it block.
func control(f *os.File, use func(fd int)) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(func(fd uintptr) { use(int(fd)) })
}

// EPIPE is a pipe's, ECONNRESET a socket's; EBADF: it was opened for reading only.
func isGone(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EBADF)
}
