package traffic

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestMoveNewNeverOverwrites(t *testing.T) { checkMove(t, moveNew) }

// checkMove checks that move renames, and that it does not if the name is taken.
func checkMove(t *testing.T, move func(from, to string) error) {
	a := filepath.Join(t.TempDir(), "a")
	if err := errors.Join(os.WriteFile(a, []byte("a"), 0o600), os.WriteFile(a+"b", []byte("b"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := move(a, a+"b"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("onto another file: %v", err)
	}
	if err := move(a+"c", a+"d"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of no file: %v", err)
	}
	if err := move(a, a+"c"); err != nil {
		t.Error(err)
	}
	if data, err := os.ReadFile(a + "c"); string(data) != "a" || err != nil {
		t.Errorf("moved: %q, %v", data, err)
	}
	if left := files(t, filepath.Dir(a)); len(left) != 2 {
		t.Errorf("left: %v", left)
	}
}
