package output

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/logcatchsys/logcatchsys/internal/record"
	"github.com/logcatchsys/logcatchsys/logconfig"
)

// A broker is kfake in this process.
type broker struct {
	*kfake.Cluster
	t    testing.TB
	opts []kgo.Opt // of those who look at what it holds
}

func newBroker(t testing.TB, opts ...kfake.Opt) *broker {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.AllowAutoTopicCreation(), kfake.DefaultNumPartitions(3)}, opts...)...)
	must(t, err)
	t.Cleanup(c.Close)
	return &broker{Cluster: c, t: t}
}

func (b *broker) spec() Spec {
	return Spec{
		Name: "bus", Type: "kafka", Brokers: b.ListenAddrs(), Topic: "logs.{source}", Key: "{source}:{file}", Format: "json",
		Compression: "zstd", PositionsTopic: "positions", Timeout: 10 * time.Second,
		Batch: logconfig.Batch{Bytes: 1 << 20, Records: 10000, Age: time.Second}, DeadLetter: b.t.TempDir() + "/dead.jsonl",
	}
}

func (b *broker) client(opts ...kgo.Opt) *kgo.Client {
	b.t.Helper()
	c, err := kgo.NewClient(append(append(opts, b.opts...), kgo.SeedBrokers(b.ListenAddrs()...), kgo.DisableClientMetrics(), kgo.MetadataMinAge(10*time.Millisecond))...)
	must(b.t, err)
	return c
}

// held is what a reader of committed messages sees in a topic, partition by partition.
func (b *broker) held(topic string) (all []*kgo.Record) {
	b.t.Helper()
	admin := b.client()
	defer admin.Close()
	ctx, cancel := context.WithTimeout(bg, time.Minute)
	defer cancel()
	ends, err := kadm.NewClient(admin).ListCommittedOffsets(ctx, topic)
	must(b.t, err)
	ends.Each(func(end kadm.ListedOffset) {
		if end.Err != nil || end.Offset == 0 {
			return
		}
		c := b.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {end.Partition: kgo.NewOffset().AtStart()}}),
			kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
		defer c.Close()
		for at := int64(0); at < end.Offset; {
			f := c.PollFetches(ctx)
			must(b.t, f.Err())
			f.EachRecord(func(r *kgo.Record) {
				if at = r.Offset + 1; !r.Attrs.IsControl() && at <= end.Offset {
					all = append(all, r)
				}
			})
		}
	})
	slices.SortStableFunc(all, func(x, y *kgo.Record) int { return cmp.Compare(x.Partition, y.Partition) })
	return all
}

// messages are those of a source.
func (b *broker) messages(source string) (all []string) {
	b.t.Helper()
	for _, r := range b.held("logs." + source) {
		var v struct{ Message string }
		must(b.t, json.Unmarshal(r.Value, &v))
		all = append(all, v.Message)
	}
	return all
}

// opened is an output to b.
func (b *broker) opened(change func(*Spec), env Env) Output {
	b.t.Helper()
	spec := b.spec()
	if change != nil {
		change(&spec)
	}
	env.Host = "h1"
	if env.Log == nil {
		env.Log = quiet()
	}
	if env.Note == nil {
		env.Note = func([]byte) error { return nil }
	}
	o, err := Open(spec, env)
	must(b.t, err)
	b.t.Cleanup(func() { o.Close() })
	return o
}

func kafkaFarEnd(t *testing.T) farEnd {
	b := newBroker(t)
	s := b.spec()
	return farEnd{spec: s, got: b.messages, talks: true}
}

func kafkaOnceFarEnd(t *testing.T) farEnd {
	e := kafkaFarEnd(t)
	e.spec.ExactlyOnce, e.once, e.wrap = true, true, reopened
	return e
}

// A keeping is an output that keeps positions itself. When it is lost, it is opened anew,
// and what its positions lie before is written again: what the daemon and its followers
// do.
type keeping struct {
	Output
	open    func() Output
	lost    bool
	batches []*record.Batch // taken since the last flush
}

func reopened(open func() Output) Output { return &keeping{Output: open(), open: open, lost: true} }

func (k *keeping) Encode(b *record.Batch) { k.Output.(Encoder).Encode(b) }

func (k *keeping) Write(ctx context.Context, b *record.Batch) error {
	if err := k.restore(ctx); err != nil {
		return err
	}
	if err := k.judge(k.Output.Write(ctx, b)); err != nil {
		return err
	}
	taken := *b
	k.batches = append(k.batches, &taken)
	return nil
}

func (k *keeping) Flush(ctx context.Context) ([]byte, error) {
	if err := k.restore(ctx); err != nil {
		return nil, err
	}
	undo, err := k.Output.Flush(ctx)
	if err = k.judge(err); err == nil {
		k.batches = nil
	}
	return undo, err
}

// judge makes of a loss an error that is tried again.
func (k *keeping) judge(err error) error {
	var lost *LostError
	if errors.As(err, &lost) {
		k.lost = true
		return errors.New(err.Error())
	}
	return err
}

func (k *keeping) restore(ctx context.Context) error {
	if !k.lost {
		return nil
	}
	if err := k.Output.Close(); err != nil {
		return err
	}
	k.Output = k.open()
	entries, err := k.Output.(Keeper).Positions(ctx, func(string) bool { return true })
	if err != nil {
		return err
	}
	k.lost = false
	at := map[string]string{}
	for _, e := range entries {
		at[e.Key] = string(e.Value)
	}
	for _, b := range k.batches {
		if fmt.Sprintf("%9s", b.Mark) <= fmt.Sprintf("%9s", at[b.Key]) {
			continue
		}
		for k.Output.Write(ctx, b) != nil {
			if ctx.Err() != nil {
				k.lost = true
				return ctx.Err()
			}
		}
	}
	return nil
}
