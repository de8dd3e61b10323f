package output

import (
	"bufio"
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/checkpoint"
	"github.com/logcatchsys/logcatchsys/internal/record"
)

// With this in its environment the test binary is the process that gets killed.
const crashDir = "OUTPUT_TEST_CRASH_DIR"

var (
	kills        = flag.Int("kills", 50, "how often the crash test kills its process")
	crashSources = []string{"a", "b", "c"}
)

// A real process with a real checkpoint is killed at random moments while three
// followers pump numbered lines into files that rotate all the time. Each line must
// be there once and in order at the end.
func TestKill9(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	dir := t.TempDir()
	for n := 0; n < *kills || len(names(t, dir)) < 30; n++ {
		longer := n / max(*kills, 1) // where hardly a file gets full so soon: a slow disk
		if longer > 5 {
			t.Fatal("hardly a rotation")
		}
		cmd, out := startCrashChild(t, dir)
		// Its first word comes when it is about to open the checkpoint.
		if _, err := out.ReadString('\n'); err != nil {
			t.Fatal("the process died by itself: ", err)
		}
		time.Sleep(rand.N(40 * time.Millisecond << longer)) // the random moment
		must(t, cmd.Process.Kill())
		rest, _ := io.ReadAll(out)
		cmd.Wait()
		if strings.Contains(string(rest), "failed") {
			t.Fatalf("it says %s", rest)
		}
	}
	cmd, out := startCrashChild(t, dir, "OUTPUT_TEST_CRASH_STOP=1")
	said, _ := io.ReadAll(out)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("the last run: %v, %s", err, said)
	}
	for _, s := range crashSources {
		got := generations(t, filepath.Join(dir, "own-"+s))
		if want := numbered(s, 0, strings.Count(got, "\n")); got != want {
			t.Errorf("%s: not every line once and in order; the first difference: %s", s, difference(got, want))
		}
		t.Log(s, strings.Count(got, "\n"), "lines")
	}
}

func startCrashChild(t *testing.T, dir string, env ...string) (*exec.Cmd, *bufio.Reader) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), crashDir+"="+dir), env...)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill() })
	return cmd, bufio.NewReader(out)
}

func difference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range g {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d is %q, after %q", i, g[i], g[max(i, 1)-1])
		}
	}
	return "none"
}

// crashChild pumps until it is killed, or for a while if it is to stop.
func crashChild(dir string) int {
	fmt.Println("here")
	pump := pumpUntilKilled
	if os.Getenv(crashBroker) != "" {
		pump = pumpToKafka
	}
	if err := pump(dir, os.Getenv("OUTPUT_TEST_CRASH_STOP") != ""); err != nil {
		fmt.Println("failed:", err)
		return 1
	}
	return 0
}

func pumpUntilKilled(dir string, stop bool) error {
	store, err := checkpoint.Open(filepath.Join(dir, "state"), quiet())
	if err != nil {
		return err
	}
	ledger, err := store.Ledger("archive")
	if err != nil {
		return err
	}
	o, err := Open(Spec{Name: "archive", Type: "file", Path: filepath.Join(dir, "own-{source}"), MaxSize: 30_000, Keep: 1 << 20},
		Env{Undo: ledger.Undo(), Note: func(undo []byte) error { return ledger.Commit(nil, undo) }, Log: quiet()})
	if err != nil {
		return err
	}
	format, err := record.NewFormat("raw", "h")
	if err != nil {
		return err
	}
	p := NewPump(PumpConfig{Name: "archive", Output: o, Ledger: ledger, Encoder: format, Log: quiet()})
	p.idle, p.busy = time.Millisecond, 5*time.Millisecond // many commits in a short life
	ctx, cancel := context.WithCancel(bg)
	followers, ended := followCrash(ctx, p, ledger)
	if stop {
		time.AfterFunc(500*time.Millisecond, cancel)
	}
	followers.Wait()
	cancel()
	if err := <-ended; err != nil {
		return err
	}
	return store.Close()
}

// followCrash runs the pump, and a follower for each source from its position on.
func followCrash(ctx context.Context, p *Pump, ledger *checkpoint.Ledger) (*sync.WaitGroup, chan error) {
	pumping, stopped := context.WithCancel(bg)
	ended := make(chan error, 1)
	go func() { ended <- p.Run(pumping, bg) }()
	var followers sync.WaitGroup
	for _, source := range crashSources {
		followers.Go(func() {
			select {
			case <-p.Ready():
			case <-ctx.Done():
				return
			}
			next := uint64(0)
			entries, _ := ledger.Load(source)
			for _, e := range entries {
				next = binary.BigEndian.Uint64(e.Value)
			}
			for {
				select {
				case <-ctx.Done():
					return
				case b := <-p.Free():
					n := 1 + rand.IntN(60)
					b.Source, b.Key, b.Read, b.Count = source, source, time.Now(), n
					b.Data = append(b.Data, numbered(source, int(next), n)...)
					next += uint64(n)
					b.Mark = binary.BigEndian.AppendUint64(b.Mark, next)
					p.Put(b)
				}
			}
		})
	}
	go func() { followers.Wait(); stopped() }()
	return &followers, ended
}
