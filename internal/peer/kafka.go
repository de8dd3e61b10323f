package peer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

func init() {
	register("kafka", newKafka)
	programs["kafka"] = serveKafka
}

// Kafka is a broker with its log on disk, each write synced: kfake in a process of its own.
type Kafka struct {
	*childProcess
	addr string
}

// askTime is enough for a broker on this machine to answer.
const askTime = time.Minute

func newKafka(dir string) (Peer, error) {
	addr, err := FreeAddr()
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	return &Kafka{child("kafka", dir, port), addr}, nil
}

// serveKafka runs the broker. Any topic is made when it is asked for, with 3 partitions.
func serveKafka(dir string, args []string, ready func(), stop <-chan struct{}) error {
	port, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	c, err := kfake.NewCluster(
		kfake.NumBrokers(1), kfake.Ports(port), kfake.AllowAutoTopicCreation(), kfake.DefaultNumPartitions(3),
		kfake.DataDir(dir+"/log"), kfake.SyncWrites(), kfake.WithLogger(kfake.BasicLogger(os.Stderr, kfake.LogLevelWarn)),
	)
	if err != nil {
		return err
	}
	ready()
	<-stop
	c.Close()
	return nil
}

// Kill cuts the connections, but lets the broker write down which transactions are open.
// Kafka has a log of them from which it goes on after kill -9. kfake has not: killed twice,
// it takes what was open at the first time for committed.
func (k *Kafka) Kill() error { return k.Stop() }

// Close kills the process.
func (k *Kafka) Close() error { return k.childProcess.Kill() }

func (k *Kafka) client(opts ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append(opts, kgo.SeedBrokers(k.addr), kgo.DisableClientMetrics(), kgo.MetadataMinAge(50*time.Millisecond))...)
}

// Config asks for exactly once.
func (k *Kafka) Config() string {
	return fmt.Sprintf("{type: kafka, brokers: ['%s'], exactly_once: true}", k.addr)
}

// Addr is host:port of the broker.
func (k *Kafka) Addr() string { return k.addr }

// Dump writes the message of each record that is committed, topic by topic and in each
// partition by partition.
func (k *Kafka) Dump(w io.Writer) error {
	return k.Each(func(r *kgo.Record) error {
		var record struct{ Message *string }
		if err := json.Unmarshal(r.Value, &record); err != nil || record.Message == nil {
			return fmt.Errorf("topic %s, partition %d, offset %d: no record of a log: %.100q", r.Topic, r.Partition, r.Offset, r.Value)
		}
		_, err := io.WriteString(w, *record.Message+"\n")
		return err
	})
}

// Each gives all committed messages but positions, topic by topic, partition by partition.
func (k *Kafka) Each(do func(*kgo.Record) error) error {
	admin, err := k.client()
	if err != nil {
		return err
	}
	defer admin.Close()
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	ends, err := kadm.NewClient(admin).ListCommittedOffsets(ctx)
	if err != nil {
		return fmt.Errorf("asking for the ends of the logs: %w", err)
	}
	var parts []kadm.ListedOffset
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 && !strings.HasSuffix(o.Topic, "positions") {
			parts = append(parts, o)
		}
	})
	slices.SortFunc(parts, func(a, b kadm.ListedOffset) int {
		if a.Topic != b.Topic {
			return strings.Compare(a.Topic, b.Topic)
		}
		return int(a.Partition - b.Partition)
	})
	for _, p := range parts {
		if err := errors.Join(p.Err, k.readTo(p, do)); err != nil {
			return err
		}
	}
	return nil
}

// readTo reads one partition from its start to an end.
func (k *Kafka) readTo(end kadm.ListedOffset, do func(*kgo.Record) error) error {
	from := map[string]map[int32]kgo.Offset{end.Topic: {end.Partition: kgo.NewOffset().AtStart()}}
	client, err := k.client(kgo.ConsumePartitions(from), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	for at := int64(0); at < end.Offset; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("reading topic %s, partition %d from %d: %w", end.Topic, end.Partition, at, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			at = r.Offset + 1
			if !r.Attrs.IsControl() && at <= end.Offset && err == nil {
				err = do(r)
			}
		})
	}
	return err
}
