package output

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/logcatchsys/logcatchsys/internal/checkpoint"
	"github.com/logcatchsys/logcatchsys/internal/peer"
	"github.com/logcatchsys/logcatchsys/logconfig"
)

// With this in its environment, the process that gets killed delivers to that broker.
const crashBroker = "OUTPUT_TEST_CRASH_BROKER"

// The collector's side and the broker are killed at random moments, the local state is
// deleted now and then, and who reads what is committed sees each line once and in order.
func TestKafkaKill9(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	far, err := peer.New("kafka", t.TempDir())
	must(t, err)
	defer far.Close()
	must(t, far.Start())
	addr := crashBroker + "=" + far.(*peer.Kafka).Addr()
	dir := t.TempDir()
	for i := range max(*kills/5, 1) {
		cmd, out := startCrashChild(t, dir, addr)
		if _, err := out.ReadString('\n'); err != nil {
			t.Fatal("the process died by itself: ", err)
		}
		for range rand.IntN(3) {
			time.Sleep(rand.N(200 * time.Millisecond)) // a random moment
			must(t, far.Kill())
			must(t, far.Start())
		}
		time.Sleep(rand.N(300 * time.Millisecond)) // another one
		must(t, cmd.Process.Kill())
		rest, _ := io.ReadAll(out)
		cmd.Wait()
		if strings.Contains(string(rest), "failed") {
			t.Fatalf("it says %s", rest)
		}
		if i%3 == 2 {
			must(t, os.RemoveAll(filepath.Join(dir, "state")))
		}
	}
	cmd, out := startCrashChild(t, dir, addr, "OUTPUT_TEST_CRASH_STOP=1")
	said, _ := io.ReadAll(out)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("the last run: %v, %s", err, said)
	}
	got := map[string]*strings.Builder{}
	must(t, far.(*peer.Kafka).Each(func(r *kgo.Record) error {
		if got[r.Topic] == nil {
			got[r.Topic] = new(strings.Builder)
		}
		got[r.Topic].Write(append(r.Value, '\n'))
		return nil
	}))
	for _, s := range crashSources {
		if got["logs."+s] == nil {
			t.Fatal("nothing of ", s)
		}
		text := got["logs."+s].String()
		if want := numbered(s, 0, strings.Count(text, "\n")); text != want {
			t.Errorf("%s: not every line once and in order; the first difference: %s", s, difference(text, want))
		}
		t.Log(s, strings.Count(text, "\n"), "lines")
	}
}

// pumpToKafka pumps until it is killed, or for a while if it is to stop. When its output
// is lost, it is opened anew, as the daemon does it.
func pumpToKafka(dir string, stop bool) error {
	store, err := checkpoint.Open(filepath.Join(dir, "state"), quiet())
	if err != nil {
		return err
	}
	ledger, err := store.Ledger("bus")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(bg)
	defer cancel()
	delivering := func() {}
	if stop {
		delivering = sync.OnceFunc(func() { time.AfterFunc(3*time.Second, cancel) })
	}
	for {
		ledger.Reset()
		err := pumpOnce(ctx, ledger, delivering)
		var lost *LostError
		if errors.As(err, &lost) {
			fmt.Println("lost:", err)
			continue
		}
		return errors.Join(err, store.Close())
	}
}

// pumpOnce calls delivering when the followers may begin.
func pumpOnce(ctx context.Context, ledger *checkpoint.Ledger, delivering func()) error {
	spec := Spec{
		Name: "bus", Type: "kafka", Brokers: []string{os.Getenv(crashBroker)}, Topic: "logs.{source}", Key: "{source}:{file}", Format: "raw",
		Compression: "none", ExactlyOnce: true, PositionsTopic: "positions", Timeout: 2 * time.Second,
		Batch: logconfig.Batch{Bytes: 1 << 10, Records: 30, Age: time.Second},
	}
	o, err := Open(spec, Env{Host: "h", Log: quiet()})
	if err != nil {
		return err
	}
	p := NewPump(PumpConfig{Name: "bus", Output: o, Ledger: ledger, Log: quiet(), Restore: func(ctx context.Context, k Keeper) error {
		kept, err := k.Positions(ctx, func(string) bool { return true })
		if err != nil || len(kept) == 0 {
			return err
		}
		return ledger.Commit(kept, nil)
	}, Retry: logconfig.Retry{Initial: 10 * time.Millisecond, Max: 100 * time.Millisecond}})
	p.idle, p.busy = time.Millisecond, 5*time.Millisecond
	ctx, cancel := context.WithCancel(ctx)
	followers, ended := followCrash(ctx, p, ledger)
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-p.Ready():
			delivering()
		case <-ctx.Done():
		}
	})
	err = <-ended // of itself, or after the followers
	cancel()
	followers.Wait()
	watch.Wait()
	return err
}
