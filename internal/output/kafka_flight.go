package output

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/logcatchsys/logcatchsys/internal/record"
)

// largestBatch is the client's limit for a batch before it is compressed: a little less
// than what brokers take by default (message.max.bytes).
const largestBatch = 1_000_012

// largestMessage leaves room for what a batch and a record have beside their contents.
const largestMessage = largestBatch - 512

// A flight is messages on their way to the brokers. They are all handed to the client
// before the first of them is sent, and nothing is added: when one fails, the client
// fails all that come after it in the partition, so none overtakes it.
type flight struct {
	aloft   bool  // not all of them have been answered for
	items   []int // of the parcel, by message; none for positions
	errs    []error
	records []kgo.Record
	headers []kgo.RecordHeader
	ids     []byte

	// The client's goroutines write these while it is aloft.
	mu     sync.Mutex
	failed int // the number of the last one that did
	acked  int
	pid    int64 // of the first that was acknowledged
	epoch  int16
	mixed  bool // not all were acknowledged under that id and epoch
}

// A gate holds back what a client sends while it is given a flight: it may begin as soon as
// it has the first messages, if it has not come to rest after the flight before. If the
// brokers refused these, the client would fail them before it has the last ones.
type gate struct{ mu sync.RWMutex }

func (g *gate) pass() {
	g.mu.RLock()
	defer g.mu.RUnlock()
}

// behind makes connections that pass the gate before they send.
func (g *gate) behind(dial func(ctx context.Context, network, address string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return gated{c, g}, nil
	}
}

type gated struct {
	net.Conn
	gate *gate
}

func (c gated) Write(p []byte) (int, error) {
	c.gate.pass()
	return c.Conn.Write(p)
}

// An origin is what the messages of one batch have in common.
type origin struct {
	batch                   *record.Batch
	topic                   string
	key, host, source, file []byte
}

// The headers of a message.
const (
	headerID = iota
	headerHost
	headerSource
	headerFile
	headerOffset
	headersEach
)

// size is at most how long a message becomes, without what is the same for all.
func (o *origin) size(value []byte) int {
	return len(value) + len(o.key) + len(o.host) + len(o.source) + len(o.file) + len(o.batch.Gen) + 2*len("9223372036854775807")
}

func (f *flight) clear() {
	f.items, f.errs, f.ids = f.items[:0], f.errs[:0], f.ids[:0]
	clear(f.records) // lets go of the parcel's memory
	f.records, f.headers = f.records[:0], f.headers[:0]
	f.mixed, f.acked, f.failed = false, 0, 0
}

// add puts a message of item i. Its memory must stay as it is until the flight has landed.
func (f *flight) add(i int, of *origin, offset int64, value []byte) {
	from := len(f.ids)
	f.ids = of.batch.AppendID(f.ids, offset)
	id := f.ids[from:len(f.ids):len(f.ids)]
	n := len(f.headers)
	f.headers = slices.Grow(f.headers, headersEach)[:n+headersEach]
	h := f.headers[n : n+headersEach : n+headersEach]
	h[headerID] = kgo.RecordHeader{Key: "id", Value: id}
	h[headerHost] = kgo.RecordHeader{Key: "host", Value: of.host}
	h[headerSource] = kgo.RecordHeader{Key: "source", Value: of.source}
	h[headerFile] = kgo.RecordHeader{Key: "file", Value: of.file}
	h[headerOffset] = kgo.RecordHeader{Key: "offset", Value: id[len(of.batch.Gen)+1:]}
	r := kgo.Record{Topic: of.topic, Value: value, Headers: h, Timestamp: of.batch.Read}
	if len(of.key) > 0 {
		r.Key = of.key
	}
	f.items = append(f.items, i)
	f.records = append(f.records, r)
}

// put adds a message that is not a record of a log.
func (f *flight) put(topic string, key string, value []byte, now time.Time) {
	f.records = append(f.records, kgo.Record{Topic: topic, Key: []byte(key), Value: value, Timestamp: now})
}

func (f *flight) launch(client *kgo.Client) {
	f.errs = slices.Grow(f.errs[:0], len(f.records))[:len(f.records)]
	clear(f.errs)
	f.aloft = true
	for i := range f.records {
		// Not the caller's context: its end would tear a hole into what is sent.
		client.Produce(context.Background(), &f.records[i], f.answered)
	}
}

// answered is called by the client, once for each message.
func (f *flight) answered(r *kgo.Record, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		for &f.records[f.failed] != r { // they fail in order, mostly
			f.failed = (f.failed + 1) % len(f.records)
		}
		f.errs[f.failed] = fmt.Errorf("topic %s: %w", r.Topic, err)
		return
	}
	if f.acked++; f.acked == 1 {
		f.pid, f.epoch = r.ProducerID, r.ProducerEpoch
	}
	f.mixed = f.mixed || r.ProducerID != f.pid || r.ProducerEpoch != f.epoch
}

// first is why the first of them failed; a *refusal if it is because of what it holds.
// Only once all have landed.
func (f *flight) first() error {
	for _, err := range f.errs {
		if err == nil {
			continue
		}
		if label, yes := poison(err); yes {
			return &refusal{label, err.Error()}
		}
		return err
	}
	return nil
}
