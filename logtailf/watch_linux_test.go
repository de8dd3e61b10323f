package logtailf

import (
	"errors"
	"os"
	"strings"
	"testing"
)

// kernelWatches sees how many inotify watches this process has, whoever made them.
func kernelWatches(t *testing.T, want int) {
	t.Helper()
	infos, err := os.ReadDir("/proc/self/fdinfo")
	if err != nil {
		t.Skip(err)
	}
	n := 0
	for _, info := range infos {
		text, err := os.ReadFile("/proc/self/fdinfo/" + info.Name())
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		do(t, err)
		n += strings.Count(string(text), "inotify wd:")
	}
	if n != want {
		t.Errorf("%d watches in the kernel, expected %d", n, want)
	}
}

func TestCheckLocal(t *testing.T) {
	do(t, checkLocal("/proc/self"))
	if err := checkLocal("/no such folder"); !errors.Is(err, os.ErrNotExist) || errors.Is(err, ErrNotLocal) {
		t.Errorf("missing folder: %v", err)
	}
	// What the kernel calls NFS (include/uapi/linux/magic.h) must be among them.
	if remote[0x6969] != "nfs" || remote[0xFE534D42] != "smb2" || remote[0x65735546] == "" {
		t.Error("the table misses network file systems")
	}
}
