package output

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

var codecs = map[string]kgo.CompressionCodec{
	"zstd": kgo.ZstdCompression(), "lz4": kgo.Lz4Compression(), "snappy": kgo.SnappyCompression(),
	"gzip": kgo.GzipCompression(), "none": kgo.NoCompression(), "": kgo.NoCompression(),
}

// kafkaOptions are those that all clients of an output have in common.
func kafkaOptions(spec Spec, env Env) ([]kgo.Opt, error) {
	dial, err := kafkaDialer(spec, env)
	if err != nil {
		return nil, err
	}
	codec, ok := codecs[spec.Compression]
	if !ok {
		return nil, fmt.Errorf("unknown compression %q: one of zstd, lz4, snappy, gzip, none", spec.Compression)
	}
	wait := min(max(spec.Timeout, 100*time.Millisecond), 15*time.Minute) // what the client lets be set
	opts := []kgo.Opt{
		kgo.SeedBrokers(spec.Brokers...), kgo.ClientID("logcatchsys"), kgo.Dialer(dial),
		kgo.DisableClientMetrics(), kgo.MetadataMinAge(100 * time.Millisecond),
		kgo.RetryBackoffFn(backoff), kgo.RequestTimeoutOverhead(wait), kgo.ProduceRequestTimeout(wait),

		// The broker decides whether it makes a topic that is missing.
		kgo.AllowAutoTopicCreation(), kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(codec), kgo.ProducerBatchMaxBytes(largestBatch),
		// A flight is sent as a whole, and bounded by what it is made from.
		kgo.ManualFlushing(), kgo.MaxBufferedRecords(1 << 30),
		kgo.RecordPartitioner(partitioner{spec.PositionsTopic, kgo.StickyKeyPartitioner(nil), positionsHash(env.Host, spec.Name)}),
	}
	switch spec.SASL.Mechanism {
	case "":
		return opts, nil
	case "plain", "scram-sha-256", "scram-sha-512":
		return append(opts, kgo.SASL(mechanism(spec))), nil
	}
	return nil, fmt.Errorf("unknown sasl.mechanism %q: one of plain, scram-sha-256, scram-sha-512", spec.SASL.Mechanism)
}

func mechanism(spec Spec) sasl.Mechanism {
	user, pass := spec.SASL.Username, spec.SASL.Password.Reveal()
	switch spec.SASL.Mechanism {
	case "scram-sha-256":
		return scram.Auth{User: user, Pass: pass}.AsSha256Mechanism()
	case "scram-sha-512":
		return scram.Auth{User: user, Pass: pass}.AsSha512Mechanism()
	}
	return plain.Auth{User: user, Pass: pass}.AsMechanism()
}

// backoff is the client's pause before a try of its own, less up to half of it by chance.
func backoff(tries int) time.Duration {
	d := min(25*time.Millisecond<<min(tries, 10), time.Second)
	return d - rand.N(d/2)
}

func kafkaDialer(spec Spec, env Env) (func(ctx context.Context, network, address string) (net.Conn, error), error) {
	if !spec.TLS.Set {
		return env.Dial, nil
	}
	config, err := newTLS(spec.TLS)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := env.Dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		c := config.Clone()
		if host, _, err := net.SplitHostPort(address); err == nil && c.ServerName == "" {
			c.ServerName = host
		}
		secure := tls.Client(conn, c)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		return secure, nil
	}, nil
}

// A partitioner chooses by a message's key, as all Kafka clients do; but all positions
// of one output lie in one partition, so that they are read back in order, and alone.
type partitioner struct {
	positions string // the topic
	kgo.Partitioner
	hash uint32
}

func (p partitioner) ForTopic(topic string) kgo.TopicPartitioner {
	if topic == p.positions {
		return one(p.hash)
	}
	return p.Partitioner.ForTopic(topic)
}

// one always chooses the same partition.
type one uint32

func (one) RequiresConsistency(*kgo.Record) bool { return true }

func (o one) Partition(_ *kgo.Record, n int) int { return int(uint32(o) % uint32(n)) }

func positionsHash(host, output string) uint32 {
	h := fnv.New32a()
	fmt.Fprintf(h, "%s\x00%s", host, output)
	return h.Sum32()
}

// trouble keeps what the client complained of last: it tries again by itself, and who
// waits for it in vain is to be told why.
type trouble struct {
	brokers []string // of the configuration

	mu  sync.Mutex
	err error
}

// Level asks for no more than is needed: debug costs time with each request.
func (t *trouble) Level() kgo.LogLevel { return kgo.LogLevelInfo }

func (t *trouble) Log(_ kgo.LogLevel, message string, keyvals ...any) {
	if strings.HasPrefix(message, "producer ID failed") {
		return // what it does about it, and no cause
	}
	for _, v := range keyvals {
		err, ok := v.(error)
		if !ok || err == nil || errors.Is(err, context.Canceled) || errors.Is(err, kgo.ErrClientClosed) {
			continue
		}
		t.mu.Lock()
		t.err = err
		t.mu.Unlock()
	}
}

func (t *trouble) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.err = nil
}

// with is err; if that is only that time is up, it reads as what the client complained of.
func (t *trouble) with(err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	cause, late := err, errors.Is(err, context.DeadlineExceeded)
	if t.err != nil && late {
		cause = t.err
	}
	switch {
	case errors.Is(cause, io.EOF): // also *kgo.ErrFirstReadEOF
		return t.at("the broker has closed the connection; if it does so each time, TLS or SASL are not as it wants them", err)
	case strings.Contains(cause.Error(), "tls alert record"):
		return t.at("the other end wants TLS: set tls", err)
	case notKafka(cause):
		return t.at("the other end does not speak Kafka's protocol; is the port right?", err)
	case late:
		return t.at(explained(cause).Error(), err)
	}
	return err
}

// at is err, which reads as the cause, and where it was if that does not say so.
func (t *trouble) at(cause string, err error) error {
	if !slices.ContainsFunc(t.brokers, func(b string) bool { return strings.Contains(cause, b) }) {
		cause = strings.Join(t.brokers, ", ") + ": " + cause
	}
	return &explanation{cause, err}
}

// notKafka knows what the client makes of an answer in another protocol: there is no
// type for it.
func notKafka(err error) bool {
	text := err.Error()
	return strings.Contains(text, "invalid large response size") || strings.Contains(text, "invalid negative response size") ||
		errors.Is(err, kbin.ErrNotEnoughData)
}
