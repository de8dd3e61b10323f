package output

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/logcatchsys/logcatchsys/logconfig"
)

// A natsServer is a real one, in this process, with its streams on disk.
type natsServer struct {
	*server.Server
	t    testing.TB
	opts *server.Options
	js   jetstream.JetStream
}

func newNATSServer(t testing.TB, change func(*server.Options)) *natsServer {
	opts := &server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true}
	if change != nil {
		change(opts)
	}
	s := &natsServer{t: t, opts: opts}
	s.start()
	t.Cleanup(s.stop)
	return s
}

func (s *natsServer) start() {
	srv, err := server.NewServer(s.opts)
	must(s.t, err)
	s.Server = srv
	srv.Start()
	if !srv.ReadyForConnections(time.Minute) {
		s.t.Fatal("the server does not start")
	}
}

func (s *natsServer) stop() {
	s.Shutdown()
	s.WaitForShutdown()
}

// client connects to it.
func (s *natsServer) client(options ...nats.Option) jetstream.JetStream {
	if s.js == nil {
		nc, err := nats.Connect(s.ClientURL(), append(options, nats.Timeout(time.Minute))...)
		must(s.t, err)
		s.t.Cleanup(nc.Close)
		s.js, err = jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
		must(s.t, err)
	}
	return s.js
}

func (s *natsServer) stream(change func(*jetstream.StreamConfig)) jetstream.Stream {
	config := jetstream.StreamConfig{Name: "LOGS", Subjects: []string{"logs.*"}, Duplicates: time.Hour}
	if change != nil {
		change(&config)
	}
	stream, err := s.client().CreateStream(bg, config)
	must(s.t, err)
	return stream
}

// held is what the stream holds, in order.
func (s *natsServer) held() (all []*jetstream.RawStreamMsg) {
	var stream jetstream.Stream
	s.ask(func(ctx context.Context) (err error) {
		stream, err = s.client().Stream(ctx, "LOGS")
		return err
	})
	state := stream.CachedInfo().State
	for seq := state.FirstSeq; seq <= state.LastSeq && state.Msgs > 0; seq++ {
		s.ask(func(ctx context.Context) error {
			m, err := stream.GetMsg(ctx, seq)
			if err == nil {
				all = append(all, m)
			}
			return err
		})
	}
	return all
}

// ask calls do until it succeeds: a cluster that changes its leader may give no answer.
func (s *natsServer) ask(do func(context.Context) error) {
	until(s.t.(*testing.T), func() error {
		ctx, cancel := context.WithTimeout(bg, 10*time.Second)
		defer cancel()
		return do(ctx)
	})
}

func (s *natsServer) messages(source string) (all []string) {
	for _, m := range s.held() {
		if m.Header.Get("source") != source {
			continue
		}
		var r struct{ Message string }
		must(s.t, json.Unmarshal(m.Data, &r))
		all = append(all, r.Message)
	}
	return all
}

func (s *natsServer) spec() Spec {
	return Spec{
		Name: "js", Type: "nats", Servers: []string{s.ClientURL()}, Subject: "logs.{source}", Stream: "LOGS",
		DuplicateWindow: time.Hour, Format: "json", Timeout: 30 * time.Second,
		Batch: logconfig.Batch{Bytes: 1 << 20, Records: 10000}, DeadLetter: s.t.TempDir() + "/dead.jsonl",
	}
}

func (s *natsServer) opened(change func(*Spec), env Env) Output {
	spec := s.spec()
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
	must(s.t, err)
	s.t.Cleanup(func() { o.Close() })
	return o
}

func natsFarEnd(t *testing.T, batched bool) farEnd {
	s := newNATSServer(t, nil)
	s.stream(func(c *jetstream.StreamConfig) { c.AllowBatchPublish = batched })
	return farEnd{spec: s.spec(), got: s.messages, once: true}
}

func TestNATSRecord(t *testing.T) {
	s := newNATSServer(t, nil)
	s.stream(nil)
	o := s.opened(nil, Env{})
	b := sample("we.b", 0, 2)
	put(t, o, b)
	settle(t, o)
	held := s.held()
	if len(held) != 2 {
		t.Fatalf("%d messages", len(held))
	}
	m := held[1]
	want := `{"timestamp":"2026-11-22T07:34:01.000000000Z","host":"h1","source":"we.b","file":"/var/log/we.b.log","offset":14,` +
		`"message":"we.b 00000001","labels":{"env":"test"}}`
	if m.Subject != "logs.we_b" || string(m.Data) != want {
		t.Errorf("%s %s\nwant %s", m.Subject, m.Data, want)
	}
	header := nats.Header{
		"Nats-Msg-Id": {"gen-we.b:14"}, "id": {"gen-we.b:14"}, "host": {"h1"}, "source": {"we.b"},
		"file": {"/var/log/we.b.log"}, "offset": {"14"}, "Nats-Expected-Stream": {"LOGS"},
	}
	if fmt.Sprint(m.Header) != fmt.Sprint(header) {
		t.Errorf("%v\nwant %v", m.Header, header)
	}
}
