package output

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/logcatchsys/logcatchsys/internal/checkpoint"
)

func exactly(spec *Spec) { spec.ExactlyOnce = true }

// once is an output that is ready to write, in a process of that name.
func (b *broker) once(instance string, change func(*Spec), env Env) (*kafkaOnce, []checkpoint.Entry) {
	b.t.Helper()
	o := b.opened(func(s *Spec) {
		s.ExactlyOnce = true
		if change != nil {
			change(s)
		}
	}, env).(*kafkaOnce)
	o.instance = instance
	return o, b.positions(o, nil)
}

func (b *broker) positions(o *kafkaOnce, known func(string) bool) (all []checkpoint.Entry) {
	b.t.Helper()
	if known == nil {
		known = func(string) bool { return false }
	}
	all, err := o.Positions(bg, known)
	must(b.t, err)
	slices.SortFunc(all, func(x, y checkpoint.Entry) int { return strings.Compare(x.Key, y.Key) })
	return all
}

func listed(entries []checkpoint.Entry) (text string) {
	for _, e := range entries {
		text += fmt.Sprintf("%s=%s ", e.Key, e.Value)
	}
	return text
}

// What was committed is read back after the local state is gone; what was not, is not.
func TestKafkaPositionsComeBack(t *testing.T) {
	b := newBroker(t)
	o, none := b.once("one", nil, Env{})
	for _, s := range []string{"a", "b"} {
		put(t, o, sample(s, 0, 10))
	}
	settle(t, o)
	put(t, o, sample("a", 10, 10))
	settle(t, o)
	left := sample("a", 20, 10)
	o.Encode(left)
	must(t, o.Write(bg, left))
	must(t, o.Close())

	_, kept := b.once("two", nil, Env{})
	if len(none) != 0 || listed(kept) != "a=20 b=10 " {
		t.Errorf("at first %s, then %s", none, kept)
	}
	if got := b.messages("a"); len(got) != 20 {
		t.Errorf("%d messages", len(got))
	}
	_, other := b.once("three", func(s *Spec) { s.Name = "bus2" }, Env{})
	if len(other) != 0 {
		t.Errorf("another output sees %s", other)
	}
}

// Two processes with one name: the older one stops, and touches nothing more.
func TestKafkaFenced(t *testing.T) {
	b := newBroker(t)
	older, _ := b.once("older", nil, Env{})
	put(t, older, sample("a", 0, 10))
	settle(t, older)
	newer, kept := b.once("newer", nil, Env{})
	if len(kept) != 1 {
		t.Fatal("positions:", kept)
	}
	var fenced *FencedError
	for range 2 {
		x := sample("a", 10, 10)
		older.Encode(x)
		err := older.Write(bg, x)
		if err == nil {
			_, err = older.Flush(bg)
		}
		if !errors.As(err, &fenced) {
			t.Fatalf("the older one says %v", err)
		}
	}
	put(t, newer, sample("a", 10, 10))
	settle(t, newer)
	if got := b.messages("a"); len(got) != 20 {
		t.Errorf("%d messages", len(got))
	}
	must(t, older.Close())
}

// A transaction that the broker has given up for its age is no takeover, though the
// broker answers the same.
func TestKafkaTransactionTimedOut(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	o := b.opened(exactly, Env{}).(*kafkaOnce)
	o.timeout = 5 * time.Second // kfake keeps the one it is told first; so long all that is to pass may take
	b.positions(o, nil)
	x := sample("a", 0, 10)
	o.Encode(x)
	must(t, o.Write(bg, x))
	must(t, o.begin(bg, bg))
	must(t, o.load(bg))
	o.launch()
	must(t, errors.Join(o.land(bg), o.judge(bg)))
	admin := b.client()
	defer admin.Close()
	for {
		all, err := kadm.NewClient(admin).DescribeTransactions(bg, o.id)
		must(t, err)
		if all[o.id].State != "Ongoing" {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	_, err := o.Flush(bg)
	var lost *LostError
	if !errors.As(err, &lost) {
		t.Fatalf("it says %v", err)
	}
	again, kept := b.once(o.instance, nil, Env{})
	if len(kept) != 0 || len(b.messages("a")) != 0 {
		t.Errorf("%s, %v", kept, b.messages("a"))
	}
	put(t, again, sample("a", 0, 10))
	settle(t, again)
	if got := b.messages("a"); len(got) != 10 {
		t.Errorf("%d messages", len(got))
	}
}

// deafen makes connections on which nothing comes any more once off is set.
func deafen(off *atomic.Bool) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		return &deaf{c, off}, err
	}
}

type deaf struct {
	net.Conn
	off *atomic.Bool
}

func (d *deaf) Read(p []byte) (int, error) {
	for {
		n, err := d.Conn.Read(p)
		if err != nil || !d.off.Load() {
			return n, err
		}
	}
}

// When nobody knows whether a commit happened, the output is lost, and the positions
// that come back say what did. The dead letter agrees with them.
func TestKafkaUncertainCommit(t *testing.T) {
	for _, happened := range []bool{true, false} {
		t.Run(fmt.Sprint(happened), func(t *testing.T) {
			t.Parallel()
			b := newBroker(t, kfake.SeedTopics(1, "logs.a"))
			b.refuse("00000007")
			var off, over atomic.Bool
			var ledger memLedger
			env := Env{Note: ledger.Note, Dial: deafen(&off)}
			dead := t.TempDir() + "/dead.jsonl"
			at := func(s *Spec) { s.Compression, s.DeadLetter = "none", dead }
			o, _ := b.once("one", at, env)
			o.spec.Timeout = 500 * time.Millisecond // for the answer that does not come
			x := sample("a", 0, 10)
			o.Encode(x)
			must(t, o.Write(bg, x))
			b.ControlKey(int16(kmsg.EndTxn), func(kmsg.Request) (kmsg.Response, error, bool) {
				if o.stage != sentAll || over.Load() {
					return nil, nil, false // the owner's own transaction
				}
				off.Store(true)
				return nil, nil, !happened
			})
			var lost *LostError
			until(t, func() error { // what comes before the commit may be late, too
				_, err := o.Flush(bg)
				if err == nil {
					t.Fatal("it says nothing")
				}
				if errors.As(err, &lost) {
					return nil
				}
				return err
			})
			must(t, o.Close())
			off.Store(false)
			over.Store(true)
			env.Undo = ledger.undo
			o, kept := b.once("one", at, env)
			if happened != (len(kept) == 1) {
				t.Errorf("positions: %s", kept)
			}
			if !happened {
				put(t, o, sample("a", 0, 10))
				settle(t, o)
			}
			if n := strings.Count(content(t, dead), "\n"); n != 1 || len(b.messages("a")) != 9 {
				t.Errorf("%d letters, %d messages", n, len(b.messages("a")))
			}
		})
	}
}

// refuse has the broker refuse batches that hold one of these words, uncompressed.
func (b *broker) refuse(words ...string) {
	b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.InvalidRecord, Count: -1, When: func(q kmsg.Request) bool {
		for _, topic := range q.(*kmsg.ProduceRequest).Topics {
			for _, p := range topic.Partitions {
				for _, w := range words {
					if bytes.Contains(p.Records, []byte(w)) {
						return true
					}
				}
			}
		}
		return false
	}})
}

// A hesitant partitioner has the client send the first messages before it has placed the rest.
type hesitant struct {
	kgo.Partitioner
	placed *int
}

func (h hesitant) ForTopic(topic string) kgo.TopicPartitioner {
	return hesitantTopic{h.Partitioner.ForTopic(topic), h.placed}
}

type hesitantTopic struct {
	kgo.TopicPartitioner
	placed *int
}

func (h hesitantTopic) Partition(r *kgo.Record, n int) int {
	if *h.placed++; *h.placed%50 == 20 {
		time.Sleep(100 * time.Millisecond)
	}
	return h.TopicPartitioner.Partition(r, n)
}

// hesitant is an output whose client hesitates, once in fifty messages.
func (b *broker) hesitant() *kafka {
	k := b.opened(func(s *Spec) { s.Compression = "none" }, Env{Dropped: func(string, string, int) {}}).(*kafka)
	k.client.Close()
	var err error
	k.client, err = k.connect(kgo.RecordPartitioner(hesitant{kgo.StickyKeyPartitioner(nil), new(int)}))
	must(b.t, err)
	return k
}

// holdsAllBut checks that all of a hundred messages came, once and in order, but one.
func (b *broker) holdsAllBut(refused string) {
	b.t.Helper()
	want := strings.Split(strings.TrimSpace(strings.Replace(numbered("a", 0, 100), "a "+refused+"\n", "", 1)), "\n")
	if got := b.messages("a"); !slices.Equal(got, want) {
		b.t.Errorf("got %d: %v", len(got), got)
	}
}

// Also the first records of a topic keep their order when one of them is refused.
func TestKafkaRefusedAtFirst(t *testing.T) {
	b := newBroker(t, kfake.SeedTopics(1, "logs.a"))
	b.refuse("00000002")
	k := b.hesitant()
	put(t, k, sample("a", 0, 100))
	settle(t, k)
	b.holdsAllBut("00000002")
}

// Nor is the order lost when the client sends while it is given the messages: here another
// flush has it do so; when it is slow to come to rest after the last one, it does by itself.
func TestKafkaRefusedWhileLaunched(t *testing.T) {
	b := newBroker(t, kfake.SeedTopics(1, "logs.a"))
	k := b.hesitant()
	put(t, k, sample("a", 0, 10))
	settle(t, k)
	b.refuse("00000012")
	flushing, stop := context.WithCancel(bg)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for flushing.Err() == nil {
			_ = k.client.Flush(flushing)
		}
	}()
	put(t, k, sample("a", 10, 90))
	settle(t, k)
	stop()
	<-done
	b.holdsAllBut("00000012")
}

// Records that the broker refuses go to the dead letter; all others come once and in order.
func TestKafkaRefused(t *testing.T) {
	for _, once := range []bool{false, true} {
		t.Run(fmt.Sprint("once=", once), func(t *testing.T) {
			t.Parallel()
			b := newBroker(t, kfake.SeedTopics(1, "logs.a"))
			b.refuse("00000007", "00000042", "00000109")
			dropped := map[string]int{}
			var dead string
			o := b.opened(func(s *Spec) { s.ExactlyOnce, s.Compression, dead = once, "none", s.DeadLetter },
				Env{Dropped: func(source, reason string, n int) { dropped[source+" "+reason] += n }})
			for _, n := range []int{0, 100} {
				put(t, o, sample("a", n, 100))
				settle(t, o)
			}
			var want []string
			for n := range 200 {
				if n != 7 && n != 42 && n != 109 {
					want = append(want, fmt.Sprintf("a %08d", n))
				}
			}
			if got := b.messages("a"); !slices.Equal(got, want) {
				t.Errorf("got %d: %v", len(got), got)
			}
			letters := content(t, dead)
			if strings.Count(letters, "\n") != 3 || !strings.Contains(letters, "INVALID_RECORD") || len(dropped) != 1 || dropped["a refused"] != 3 {
				t.Errorf("dropped %v, letters\n%s", dropped, letters)
			}
		})
	}
}

// Positions that no checkpoint knows and that are old are forgotten, at both ends.
func TestKafkaForgetsOldPositions(t *testing.T) {
	b := newBroker(t)
	now := hour
	clock := Env{Now: func() time.Time { return now }}
	o, _ := b.once("one", nil, clock)
	for _, s := range []string{"gone", "known"} {
		put(t, o, sample(s, 0, 10))
	}
	settle(t, o)
	must(t, o.Close())
	now = hour.Add(forgetAfter + time.Hour)
	o = b.opened(exactly, clock).(*kafkaOnce)
	if kept := b.positions(o, func(key string) bool { return key == "known" }); listed(kept) != "known=10 " {
		t.Errorf("kept %s", kept)
	}
	put(t, o, sample("new", 0, 10))
	settle(t, o)
	var last []string
	for _, r := range b.held("positions") {
		last = append(last, fmt.Sprintf("%s=%s", r.Key, r.Value))
	}
	if text := strings.Join(last, "\n"); !strings.Contains(text, "h1/bus/position/gone=\n") && !strings.HasSuffix(text, "h1/bus/position/gone=") {
		t.Errorf("no tombstone in\n%s", text)
	}
}

// The topic of positions is made compact; one that is not is warned about.
func TestKafkaPositionsTopic(t *testing.T) {
	b := newBroker(t)
	b.once("one", nil, Env{})
	admin := b.client()
	defer admin.Close()
	all, err := kadm.NewClient(admin).DescribeTopicConfigs(bg, "positions")
	must(t, err)
	if !slices.ContainsFunc(all[0].Configs, func(c kadm.Config) bool { return c.Key == "cleanup.policy" && c.MaybeValue() == "compact" }) {
		t.Errorf("%+v", all)
	}
	b = newBroker(t, kfake.SeedTopics(2, "positions"))
	log, text := logged()
	b.once("one", nil, Env{Log: log})
	if !strings.Contains(text(), "compact") {
		t.Errorf("no warning in %s", text())
	}
}

// A process that gives its transaction up, and finds that another one has the name by
// now, stops: it does not take the name back and send what the other one has sent.
func TestKafkaDoesNotTakeBack(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "logs.a"))
	must(t, err)
	t.Cleanup(c.Close)
	b := &broker{Cluster: c, t: t}
	older, _ := b.once("older", nil, Env{})
	put(t, older, sample("a", 0, 10))
	settle(t, older)
	put(t, older, sample("missing", 0, 10)) // a topic that is not there
	if _, err := older.Flush(bg); err == nil || final(err) {
		t.Fatal("it says", err)
	}
	put(t, older, sample("a", 10, 10))

	newer, kept := b.once("newer", nil, Env{})
	if listed(kept) != "a=10 " {
		t.Fatal("positions:", listed(kept))
	}
	put(t, newer, sample("a", 10, 10))
	settle(t, newer)
	b.make("logs.missing", nil)
	var fenced *FencedError
	if _, err := older.Flush(bg); !errors.As(err, &fenced) {
		t.Errorf("the older one says %v", err)
	}
	put(t, newer, sample("a", 20, 10))
	settle(t, newer)
	if got := b.messages("a"); len(got) != 30 {
		t.Errorf("%d messages", len(got))
	}
}
