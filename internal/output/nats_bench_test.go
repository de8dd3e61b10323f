package output

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/logcatchsys/logcatchsys/internal/record"
)

// A follower's batch, and what an operation of the benchmarks is.
const natsLines = batchSize / 100

func natsBenchBatch(i int) *record.Batch {
	line := strings.Repeat("x", 99) + "\n"
	return &record.Batch{
		Source: "a", File: "/var/log/a.log", Gen: "0123456789abcdef", From: int64(i * natsLines * len(line)),
		Data: []byte(strings.Repeat(line, natsLines)), Count: natsLines, Read: hour,
	}
}

// BenchmarkNATS is the way of a backlog into a stream.
func BenchmarkNATS(b *testing.B) {
	for _, batched := range []bool{false, true} {
		b.Run(fmt.Sprint("batched=", batched), func(b *testing.B) { benchmarkNATS(b, batched) })
	}
}

func benchmarkNATS(b *testing.B, batched bool) {
	s := newNATSServer(b, nil)
	s.stream(func(c *jetstream.StreamConfig) { c.AllowBatchPublish = batched })
	o := s.opened(nil, Env{})
	b.ReportAllocs()
	batch := natsBenchBatch(0)
	for i := 0; b.Loop(); i++ {
		batch.From = int64(i * len(batch.Data))
		o.(Encoder).Encode(batch)
		must(b, o.Write(bg, batch))
	}
	_, err := o.Flush(bg)
	must(b, err)
	natsRate(b)
}

func natsRate(b *testing.B) {
	b.ReportMetric(float64(b.N)*natsLines/b.Elapsed().Seconds(), "lines/s")
}

// BenchmarkNATSClient is the library's own asynchronous publishing of the same messages
// from memory: the limit.
func BenchmarkNATSClient(b *testing.B) {
	s := newNATSServer(b, nil)
	s.stream(nil)
	nc, err := nats.Connect(s.ClientURL())
	must(b, err)
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(natsSlots))
	must(b, err)
	f, err := record.NewMessages("json", "h1")
	must(b, err)
	batch := natsBenchBatch(0)
	f.Encode(batch)
	data := batch.Out[:batch.Spans[0].End]
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		for range natsLines {
			n++
			id := fmt.Sprint("0123456789abcdef:", n)
			_, err := js.PublishMsgAsync(&nats.Msg{Subject: "logs.a", Data: data, Header: nats.Header{
				"Nats-Msg-Id": {id}, "id": {id}, "host": {"h1"}, "source": {"a"}, "file": {"/var/log/a.log"}, "offset": {id[17:]},
			}})
			must(b, err)
		}
	}
	<-js.PublishAsyncComplete()
	natsRate(b)
}
