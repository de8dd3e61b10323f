package main

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

const patience = time.Minute

var headers = []string{"id", "host", "source", "file", "offset"}

// All records come, in order, with the headers that the collector sends, and no id twice.
func TestKafka(t *testing.T) {
	for name, args := range map[string][]string{"idempotent": nil, "exactly once": {"-exactly-once"}} {
		t.Run(name, func(t *testing.T) {
			cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, topic, positionsTopic))
			must(t, err)
			defer cluster.Close()
			addr := cluster.ListenAddrs()[0]
			sent(t, append(args, "kafka", addr)...)
			client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
			must(t, err)
			defer client.Close()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			n, ids := 0, map[string]bool{}
			for n < many {
				fetches := client.PollFetches(ctx)
				must(t, fetches.Err())
				fetches.EachRecord(func(r *kgo.Record) {
					n++
					must(t, isRecord(r.Value))
					var keys []string
					for _, h := range r.Headers {
						keys = append(keys, h.Key)
					}
					if !slices.Equal(keys, headers) || string(r.Key) != "bench:/x/app.log" || ids[string(r.Headers[0].Value)] {
						t.Fatalf("record %d: key %q, headers %q", n, r.Key, r.Headers)
					}
					ids[string(r.Headers[0].Value)] = true
				})
			}
			if positions := cluster.PartitionInfo(positionsTopic, 0).HighWatermark; n != many || (positions > 0) != (args != nil) {
				t.Errorf("%d records, %d positions", n, positions)
			}
		})
	}
}

func TestNATS(t *testing.T) {
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true})
	must(t, err)
	go srv.Start()
	defer srv.WaitForShutdown()
	defer srv.Shutdown()
	if !srv.ReadyForConnections(patience) {
		t.Fatal("the server is not ready")
	}
	conn, err := nats.Connect(srv.ClientURL())
	must(t, err)
	defer conn.Close()
	js, err := jetstream.New(conn)
	must(t, err)
	log, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: stream, Subjects: []string{subject}, Storage: jetstream.MemoryStorage})
	must(t, err)
	sent(t, "nats", srv.Addr().String())
	info, err := log.Info(t.Context())
	must(t, err)
	if info.State.Msgs != many { // an id that came twice would be one message
		t.Errorf("%d messages", info.State.Msgs)
	}
	for _, sequence := range []uint64{1, many} {
		m, err := log.GetMsg(t.Context(), sequence)
		must(t, err)
		must(t, isRecord(m.Data))
		for _, h := range append(headers, nats.MsgIdHdr) {
			if len(m.Header[h]) != 1 {
				t.Errorf("message %d: header %s %q", sequence, h, m.Header[h])
			}
		}
	}
}
