package checkpoint

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// The real thing: a file system without room, which gets room again.
func TestFullFileSystem(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("cannot mount a tmpfs here: %v", err)
	}
	defer syscall.Unmount(dir, syscall.MNT_DETACH)
	s := open(t, dir)
	l := ledger(t, s, "screen")
	must(t, l.Commit(entries(10, "%d"), []byte("note 1")))

	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 1<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling the disk: %v", err)
	}
	more := entries(500, "more %d")
	for range 3 {
		if err := l.Commit(more, []byte("note 2")); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("commit into a full disk: %v", err)
		}
	}
	if all, err := l.Load(""); err != nil || len(all) != 10 || string(all[0].Value) != "0" {
		t.Fatalf("while it is full: %v, %v", all, err)
	}
	must(t, os.Remove(filler))
	must(t, l.Commit(more, []byte("note 2")))
	must(t, s.Close())
	s = open(t, dir)
	defer s.Close()
	l = ledger(t, s, "screen")
	if all, err := l.Load(""); err != nil || len(all) != 500 || string(l.Undo()) != "note 2" {
		t.Errorf("later: %d entries, %q, %v", len(all), l.Undo(), err)
	}
}
