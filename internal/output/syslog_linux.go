package output

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

const tcpEstablished = 1 // TCP_ESTABLISHED of linux/tcp.h: both directions are open

// unacknowledged is how many bytes written to c the other end's kernel has not
// acknowledged yet; whole is false if c has been closed by it. A connection that cannot
// be asked counts as whole, with nothing to be acknowledged.
func unacknowledged(c net.Conn) (n int, whole bool) {
	whole = true
	withFD(c, func(fd int) {
		queued, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
		if err != nil {
			return
		}
		n = queued
		if info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			whole = info.State == tcpEstablished
		}
	})
	return n, whole
}

// silent reports whether the other end's kernel has stopped to answer. One that answers
// while nothing moves has a program behind it that is slow: it does not read.
func silent(c net.Conn) bool {
	dead := true
	withFD(c, func(fd int) {
		if info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			dead = info.Retransmits > 1 || info.Probes > 1
		}
	})
	return dead
}

func withFD(c net.Conn, do func(fd int)) {
	s, ok := c.(syscall.Conn)
	if !ok {
		return
	}
	if raw, err := s.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { do(int(fd)) }) // an error: it is closed
	}
}
