package checkpoint

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// childEnv names the state folder, in a test binary that is started to be killed.
const childEnv = "CHECKPOINT_TEST_CHILD"

// commitForEver commits 1, 2, 3, … and prints each once it is durable.
func commitForEver(dir string) {
	s, err := Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		fmt.Println(err)
		os.Exit(3)
	}
	l, err := s.Ledger("screen")
	if err != nil {
		panic(err)
	}
	i, _ := strconv.Atoi(string(l.Undo()))
	for fmt.Println(i); ; fmt.Println(i) {
		i++
		if err := l.Commit(entries(20+i%200, "%[1]d "+strconv.Itoa(i)), []byte(strconv.Itoa(i))); err != nil {
			panic(err)
		}
	}
}

func startChild(t *testing.T, dir string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	return cmd, bufio.NewScanner(out)
}

// Killed at any moment, the store opens, and holds the last commit that was
// reported, or the one that was under way: all of it, with its note.
func TestKilled(t *testing.T) {
	times := 15
	if *long {
		times = 500
	}
	dir := t.TempDir()
	for range times {
		cmd, lines := startChild(t, dir)
		if !lines.Scan() {
			t.Fatal("the child says nothing")
		}
		timer := time.AfterFunc(time.Duration(rand.IntN(40_000))*time.Microsecond, func() { cmd.Process.Kill() })
		last := lines.Text()
		for lines.Scan() {
			last = lines.Text()
		}
		timer.Stop()
		cmd.Wait()
		reported, err := strconv.Atoi(last)
		must(t, err)
		checkCommit(t, dir, reported)
	}
}

func checkCommit(t *testing.T, dir string, reported int) {
	t.Helper()
	s := open(t, dir)
	defer s.Close()
	l := ledger(t, s, "screen")
	i, _ := strconv.Atoi(string(l.Undo()))
	if i != reported && i != reported+1 {
		t.Fatalf("%d was reported, %d is stored", reported, i)
	}
	all, err := l.Load("")
	must(t, err)
	at := 0
	for _, e := range all {
		if strings.HasSuffix(string(e.Value), " "+strconv.Itoa(i)) {
			at++
		}
	}
	if want := 20 + i%200; i > 0 && at != want {
		t.Fatalf("%d of %d entries of commit %d are stored", at, want, i)
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	cmd, lines := startChild(t, dir)
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	lines.Scan()
	_, err := Open(dir, quiet) // the child lives: it does not wait for its end
	var locked *LockedError
	if !errors.As(err, &locked) || locked.PID != cmd.Process.Pid {
		t.Fatalf("got %v", err)
	}
	cmd.Process.Kill()
	for lines.Scan() {
	}
	cmd.Wait()
	open(t, dir)
}
