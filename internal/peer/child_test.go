package peer

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// good starts a program that ends in order when it is asked to.
func good(t *testing.T) (c *childProcess, note string) {
	t.Helper()
	dir := t.TempDir()
	c = child("test good", dir, "an argument")
	must(t, c.Start())
	t.Cleanup(func() { must(t, c.Close()) })
	return c, filepath.Join(dir, "stopped")
}

func TestChildStop(t *testing.T) {
	t.Parallel()
	c, note := good(t)
	for range 2 {
		must(t, c.Stop())
		if text, _ := os.ReadFile(note); string(text) != "an argument" {
			t.Errorf("it did not end in order: %q", text)
		}
		must(t, os.Remove(note))
		must(t, c.Start())
	}
	if err := c.Start(); err == nil {
		t.Error("started twice at once")
	}
}

func TestChildKill(t *testing.T) {
	t.Parallel()
	c, note := good(t)
	pid := c.cmd.Process.Pid
	must(t, c.Kill())
	must(t, c.Kill())
	must(t, c.Stop())
	if _, err := os.Stat(note); err == nil {
		t.Error("it ended in order")
	}
	must(t, c.Start())
	if c.cmd.Process.Pid == pid {
		t.Error("the same process")
	}
}

func TestChildFails(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"test bad", "no such program"} {
		c := child(name, t.TempDir())
		err := c.Start()
		if err == nil || !strings.Contains(err.Error(), name+".stderr") {
			t.Errorf("%s: error %v", name, err)
		}
		if text, _ := os.ReadFile(c.log()); len(text) == 0 {
			t.Errorf("%s: it left no word", name)
		}
		must(t, c.Close())
	}
}

func TestChildEndsByItself(t *testing.T) {
	t.Parallel()
	c := child("test brief", t.TempDir())
	must(t, c.Start())
	<-c.ended
	if err := c.Stop(); err == nil {
		t.Error("no error")
	}
	must(t, c.Start()) // it can be tried again
	must(t, c.Close())
}

func TestChildEndsWithItsParent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := child("test parent", dir)
	must(t, c.Start())
	must(t, c.Kill())
	deadline := time.Now().Add(startTime)
	for { // another process: nobody tells us
		if text, _ := os.ReadFile(filepath.Join(dir, "stopped")); string(text) == "orphan" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the child outlives its parent")
		}
		time.Sleep(5 * time.Millisecond)
	}
}
