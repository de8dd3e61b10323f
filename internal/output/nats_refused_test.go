package output

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/logcatchsys/logcatchsys/internal/record"
	"github.com/logcatchsys/logcatchsys/logconfig"
)

// lines is a batch of these lines.
func lines(source string, all ...string) *record.Batch {
	b := sample(source, 0, 1)
	b.Data, b.Count = []byte(strings.Join(all, "\n")+"\n"), len(all)
	return b
}

// warm delivers until the stream's settings are known, and messages go in batches if they
// allow it. Its window is ten messages.
func (s *natsServer) warm(change func(*Spec), env Env) *natsOutput {
	o := s.opened(func(spec *Spec) {
		spec.Batch.Records = 10
		if change != nil {
			change(spec)
		}
	}, env).(*natsOutput)
	stream, err := s.client().Stream(bg, "LOGS")
	must(s.t, err)
	allowed := stream.CachedInfo().Config.AllowBatchPublish
	for i := 0; i < 2 || o.batched != allowed; i++ {
		put(s.t.(*testing.T), o, lines("warm", fmt.Sprint(i)))
		b := sample("warm", 1000+i*10, 10)
		put(s.t.(*testing.T), o, b)
		settle(s.t.(*testing.T), o)
	}
	return o
}

// What is larger than the server or the stream takes goes to the dead letter, and the
// rest arrives in order, wherever it stands in a batch.
func TestNATSTooLarge(t *testing.T) {
	for _, what := range []string{"max_payload", "max_msg_size", "max_payload, batches", "max_msg_size, batches"} {
		t.Run(what, func(t *testing.T) {
			s := newNATSServer(t, func(o *server.Options) {
				if strings.HasPrefix(what, "max_payload") {
					o.MaxPayload = 2048
				}
			})
			s.stream(func(c *jetstream.StreamConfig) {
				c.AllowBatchPublish = strings.Contains(what, "batches")
				if strings.HasPrefix(what, "max_msg_size") {
					c.MaxMsgSize = 2048
				}
			})
			dropped := map[string]int{}
			dead := t.TempDir() + "/dead.jsonl"
			o := s.warm(func(spec *Spec) { spec.DeadLetter = dead },
				Env{Dropped: func(source, reason string, n int) { dropped[source+" "+reason] += n }})
			tall := strings.Repeat("x", 3000)
			put(t, o, lines("a", "1", tall, "2", "3", tall+"y", "4"))
			put(t, o, lines("b", tall))
			settle(t, o)
			if o.conn.batch.open() {
				t.Error("the batch was not ended")
			}
			put(t, o, lines("b", tall, "1", "2", tall, tall))
			settle(t, o)
			put(t, o, lines("b", "3"))
			settle(t, o)
			for source, want := range map[string]string{"a": "1 2 3 4", "b": "1 2 3"} {
				if got := s.messages(source); strings.Join(got, " ") != want {
					t.Errorf("%s: got %.100q", source, got)
				}
			}
			letters := strings.Split(strings.TrimSpace(content(t, dead)), "\n")
			var letter struct{ Message, Reason string }
			must(t, json.Unmarshal([]byte(letters[1]), &letter))
			if len(letters) != 6 || letter.Message != tall+"y" || letter.Reason == "" {
				t.Errorf("%d letters, the second is %.200s", len(letters), letters[1])
			}
			if len(dropped) != 2 || dropped["a too_large"] != 2 || dropped["b too_large"] != 4 {
				t.Errorf("dropped: %v", dropped)
			}
		})
	}
}

// A subject that no server reads does not end the connection again and again.
func TestNATSSubjectTooLong(t *testing.T) {
	s := newNATSServer(t, nil)
	s.stream(func(c *jetstream.StreamConfig) { c.AllowBatchPublish = true })
	n := 0
	o := s.warm(nil, Env{Dropped: func(_, reason string, _ int) { n++ }})
	put(t, o, lines(strings.Repeat("s", 4060), "1"))
	put(t, o, lines(strings.Repeat("s", 3900), "1"))
	put(t, o, lines("a", "1"))
	put(t, o, lines(strings.Repeat("s", 4070), "1")) // the last one: an end of a batch follows
	settle(t, o)
	if a, long := s.messages("a"), s.messages(strings.Repeat("s", 3900)); n != 2 || len(a) != 1 || len(long) != 1 {
		t.Errorf("%d given up, %d and %d arrived", n, len(a), len(long))
	}
}

// A dead letter that cannot be written keeps the record.
func TestNATSDeadLetterFull(t *testing.T) {
	s := newNATSServer(t, func(o *server.Options) { o.MaxPayload = 2048 })
	s.stream(nil)
	o := s.opened(nil, Env{}).(*natsOutput)
	path := o.spec.DeadLetter
	must(t, o.dead.file.Close())
	o.dead.file = failing{}
	put(t, o, lines("a", "1", strings.Repeat("x", 3000), "2"))
	if _, err := o.Flush(bg); err == nil || !strings.Contains(err.Error(), path) {
		t.Error("the flush says", err)
	}
	o.dead.file = discard{}
	settle(t, o)
	if got := s.messages("a"); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("got %q", got)
	}
}

type failing struct{ discard }

func (failing) Write(context.Context, *record.Batch) error { return errFull }

// What may be taken later is kept, said, and taken later, once and in order.
func TestNATSRefusedForNow(t *testing.T) {
	config := jetstream.StreamConfig{Name: "LOGS", Subjects: []string{"logs.*"}, Duplicates: time.Hour}
	for what, c := range map[string]struct {
		change func(*jetstream.StreamConfig)
		want   string
	}{
		"full":           {func(c *jetstream.StreamConfig) { c.MaxMsgs, c.Discard = 5, jetstream.DiscardNew }, "maximum messages exceeded"},
		"full of bytes":  {func(c *jetstream.StreamConfig) { c.MaxBytes, c.Discard = 2000, jetstream.DiscardNew }, "maximum bytes exceeded"},
		"another stream": {func(c *jetstream.StreamConfig) { c.Name = "OTHER" }, "another stream"},
		"no stream":      {func(c *jetstream.StreamConfig) { c.Subjects = []string{"elsewhere"} }, "no stream takes the subject"},
	} {
		t.Run(what, func(t *testing.T) {
			s := newNATSServer(t, nil)
			bad := config
			c.change(&bad)
			_, err := s.client().CreateStream(bg, bad)
			must(t, err)
			o := s.opened(nil, Env{})
			put(t, o, sample("a", 0, 20))
			for range 3 {
				if _, err := o.Flush(bg); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
					t.Fatalf("the flush says %v, not %s", err, c.want)
				}
			}
			if bad.Name == config.Name {
				_, err = s.client().UpdateStream(bg, config)
			} else {
				must(t, s.client().DeleteStream(bg, bad.Name))
				_, err = s.client().CreateStream(bg, config)
			}
			must(t, err)
			settle(t, o)
			farEnd{got: s.messages, once: true}.check(t, "a", 20)
			if d := content(t, o.(*natsOutput).spec.DeadLetter); d != "(none)" {
				t.Errorf("dead letter: %s", d)
			}
		})
	}
}

// Who is not allowed to publish is told so at once, not after the timeout.
func TestNATSForbidden(t *testing.T) {
	s := newNATSServer(t, func(o *server.Options) {
		o.Users = []*server.User{
			{Username: "admin", Password: "a"},
			{Username: "u", Password: "p4ss!", Permissions: &server.Permissions{
				Publish: &server.SubjectPermission{Allow: []string{"logs.ok"}},
			}},
		}
	})
	s.client(nats.UserInfo("admin", "a"))
	s.stream(nil)
	o := s.opened(func(spec *Spec) { spec.Username, spec.Password, spec.Timeout = "u", "p4ss!", time.Minute }, Env{})
	put(t, o, sample("ok", 0, 3)) // and may not ask for the duplicate window: nothing comes of it
	settle(t, o)
	put(t, o, sample("a", 0, 3))
	_, err := o.Flush(bg)
	if err == nil || !strings.Contains(err.Error(), `Permissions Violation for Publish to "logs.a"`) {
		t.Error("the flush says", err)
	}
	farEnd{got: s.messages, once: true}.check(t, "ok", 3)

	// Nor may the user ask about streams. That matters only if it is to make one.
	spec := o.(*natsOutput).spec
	if err := Probe(bg, spec, Env{}, []*record.Batch{sample("ok", 0, 0)}); err != nil {
		t.Error("a probe says", err)
	}
	spec.CreateStream = true
	maker := s.opened(func(s *Spec) { *s = spec }, Env{})
	b := sample("ok", 0, 1)
	maker.(Encoder).Encode(b)
	for _, err := range []error{flushed(maker, b), Probe(bg, spec, Env{}, []*record.Batch{b})} {
		if err == nil || !strings.Contains(err.Error(), "may not ask about streams") {
			t.Error("to make a stream without permission:", err)
		}
	}
}

// An answer of somebody else is no acknowledgement.
func TestNATSNoStreamAnswers(t *testing.T) {
	s := newNATSServer(t, nil)
	somebody := s.client().Conn()
	_, err := somebody.Subscribe("logs.a", func(m *nats.Msg) { m.Respond([]byte("thanks")) })
	must(t, err)
	must(t, somebody.Flush()) // the server knows of it before the output sends
	o := s.opened(nil, Env{})
	put(t, o, sample("a", 0, 3))
	if _, err := o.Flush(bg); err == nil || !strings.Contains(err.Error(), "not a stream's") {
		t.Error("the flush says", err)
	}
}

// While nothing is acknowledged, no more is taken than was agreed.
func TestNATSBoundedMemory(t *testing.T) {
	s := newNATSServer(t, nil)
	s.stream(nil)
	n := new(network)
	o := s.opened(func(spec *Spec) {
		spec.Batch, spec.Timeout = logconfig.Batch{Bytes: 50 << 10, Records: 1000}, 100*time.Millisecond
	}, Env{Dial: n.dial}).(*natsOutput)
	put(t, o, sample("a", 0, 100))
	settle(t, o)
	n.hang.Store(true)
	taken := 1
	for ; taken < 1000; taken++ {
		b := sample("a", taken*100, 100)
		o.Encode(b)
		if err := o.Write(bg, b); err != nil {
			if !strings.Contains(err.Error(), "within 100ms") {
				t.Error("the write says", err)
			}
			break
		}
	}
	if w := o.window; w.bytes > 80<<10 || w.items > 1100 || w.bytes < 20<<10 {
		t.Errorf("it holds %d bytes, %d records", w.bytes, w.items)
	}
	n.hang.Store(false)
	settle(t, o)
	if w := o.window; w.bytes != 0 || w.items != 0 {
		t.Errorf("it holds %d bytes, %d records when all is acknowledged", w.bytes, w.items)
	}
	farEnd{got: s.messages, once: true}.check(t, "a", taken*100)
}

// After a message that is refused, nothing is sent until the others are answered; then
// only what was not taken, carefully.
func TestNATSWindowAfterFailure(t *testing.T) {
	w := newNATSWindow(logconfig.Batch{Bytes: 1 << 20, Records: 100})
	b := sample("a", 0, 10)
	f, err := record.NewMessages("raw", "h")
	must(t, err)
	f.Encode(b)
	w.add(b, "s")
	w.width = 5
	for w.advance() {
		w.launched()
	}
	w.settle(0, natsVerdict{})
	w.settle(2, natsVerdict{err: errFull})
	w.settle(2, natsVerdict{}) // answered twice
	w.settle(77, natsVerdict{})
	w.settle(1<<20, natsVerdict{})
	w.settle(3, natsVerdict{})
	if w.advance() || w.flying != 2 || w.failure != errFull {
		t.Errorf("%d under way, failure %v", w.flying, w.failure)
	}
	w.failure = nil
	w.rewind()
	var again []int
	for w.advance() {
		_, item, slot := w.next()
		again = append(again, item)
		w.launched()
		if w.advance() && len(again) == 1 {
			t.Error("more than one is sent at first")
		}
		w.settle(slot, natsVerdict{})
	}
	if fmt.Sprint(again) != "[1 2 4 5 6 7 8 9]" || !w.empty() || w.bytes != 0 {
		t.Errorf("sent again: %v", again)
	}
}
