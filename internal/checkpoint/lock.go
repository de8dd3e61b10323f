package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	lockName  = "checkpoint.lock"
	lockWait  = 300 * time.Millisecond // a process that is just ending may still hold it
	lockRetry = 20 * time.Millisecond
)

// errHeld is what tryLock returns while another holds the lock.
var errHeld = errors.New("held by another process")

// A lockFile keeps other processes out of a state folder while its checkpoint is
// checked, made and used. It is not the checkpoint itself: that must be locked
// before it exists, and a refused process must be able to read the holder's pid.
// The kernel frees it when its holder dies; the file stays.
type lockFile struct{ f *os.File }

func lockDir(dir string) (*lockFile, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the state folder: %w", whoAmI(err))
	}
	err = waitLock(f)
	if err == nil {
		writePID(f)
		return &lockFile{f}, nil
	}
	pid := readPID(f)
	f.Close()
	if errors.Is(err, errHeld) {
		return nil, &LockedError{Dir: dir, PID: pid}
	}
	return nil, fmt.Errorf("locking the state folder %s: %w", dir, err)
}

// whoAmI adds the user of the process to a lack of permission.
func whoAmI(err error) error {
	me, unknown := user.Current()
	if unknown != nil || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return fmt.Errorf("%w (running as user %s)", err, me.Username)
}

func (l *lockFile) close() error { return l.f.Close() }

func waitLock(f *os.File) error {
	deadline := time.Now().Add(lockWait)
	for {
		err := tryLock(f)
		if !errors.Is(err, errHeld) || time.Now().After(deadline) {
			return err
		}
		time.Sleep(lockRetry)
	}
}

// writePID is for people only, so that a full disk does not matter here.
func writePID(f *os.File) {
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt(strconv.AppendInt(nil, int64(os.Getpid()), 10), 0)
	}
}

func readPID(f *os.File) int {
	b := make([]byte, 20)
	n, _ := f.ReadAt(b, 0)
	pid, err := strconv.Atoi(strings.TrimSpace(string(b[:n])))
	if err != nil || pid <= 0 {
		return 0
	}
	return pid
}
