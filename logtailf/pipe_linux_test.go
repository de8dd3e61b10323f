package logtailf

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// openTerminal returns the master of a new pseudo terminal and the slave's path.
func openTerminal(t *testing.T) (master *os.File, slave string) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { master.Close() })
	fd := int(master.Fd())
	do(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	do(t, err)
	return master, fmt.Sprint("/dev/pts/", n)
}

func TestPipeTerminal(t *testing.T) {
	master, slave := openTerminal(t)
	r := startReading(t, slave)
	// The reader may not have opened it yet: a terminal keeps what is typed.
	write(t, master, "typed\n")
	r.expect(t, "typed")
	if rest := r.stop(t); len(rest) > 0 {
		t.Errorf("%q", rest)
	}
}
