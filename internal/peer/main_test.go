package peer

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/logcatchsys/logcatchsys/internal/leak"
)

func TestMain(m *testing.M) {
	Main()
	leak.Main(m)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// dumped is what a peer holds.
func dumped(t testing.TB, p Peer) string {
	t.Helper()
	var b bytes.Buffer
	must(t, p.Dump(&b))
	return b.String()
}

func TestNewUnknown(t *testing.T) {
	if _, err := New("carrier pigeon", t.TempDir()); err == nil {
		t.Error("no error")
	}
}

func TestNewMissing(t *testing.T) {
	register("test missing", func(string) (Peer, error) { return nil, fmt.Errorf("the program: %w", ErrMissing) })
	defer delete(types, "test missing")
	if _, err := New("test missing", t.TempDir()); !errors.Is(err, ErrMissing) {
		t.Errorf("error %v", err)
	}
}

func init() {
	programs["test good"] = func(dir string, args []string, ready func(), stop <-chan struct{}) error {
		ready()
		<-stop
		return os.WriteFile(filepath.Join(dir, "stopped"), []byte(args[0]), 0o644)
	}
	programs["test bad"] = func(string, []string, func(), <-chan struct{}) error {
		return errors.New("not today")
	}
	programs["test brief"] = func(_ string, _ []string, ready func(), _ <-chan struct{}) error {
		ready()
		return errors.New("enough")
	}
	programs["test parent"] = testParent
}

// testParent has a child of its own, and ends as after kill -9: with no word to it.
func testParent(dir string, _ []string, ready func(), stop <-chan struct{}) error {
	if err := child("test good", dir, "orphan").Start(); err != nil {
		return err
	}
	ready()
	<-stop
	os.Exit(0)
	return nil
}
