package output

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/logcatchsys/logcatchsys/internal/record"
	"github.com/logcatchsys/logcatchsys/logconfig"
)

// A batch that the stream takes the first messages of goes on where it stopped.
func TestNATSFullInABatch(t *testing.T) {
	s := newNATSServer(t, nil)
	limited := func(c *jetstream.StreamConfig) { c.AllowBatchPublish, c.Discard = true, jetstream.DiscardNew }
	stream := s.stream(limited)
	o := s.warm(func(spec *Spec) { spec.Batch.Records = 100 }, Env{})
	config := stream.CachedInfo().Config
	info, err := stream.Info(bg)
	must(t, err)
	config.MaxMsgs = int64(info.State.Msgs) + 33
	_, err = s.client().UpdateStream(bg, config)
	must(t, err)
	put(t, o, sample("a", 0, 80))
	for range 3 {
		if _, err := o.Flush(bg); err == nil || !strings.Contains(err.Error(), "maximum messages exceeded") {
			t.Fatal("the flush says", err)
		}
	}
	if n := len(s.messages("a")); n != 33 {
		t.Errorf("%d arrived", n)
	}
	config.MaxMsgs = -1
	_, err = s.client().UpdateStream(bg, config)
	must(t, err)
	settle(t, o)
	put(t, o, sample("a", 80, 80))
	settle(t, o)
	farEnd{got: s.messages, once: true}.check(t, "a", 160)
}

// A stream that does not allow batches any more is written to one by one.
func TestNATSBatchesForbidden(t *testing.T) {
	s := newNATSServer(t, nil)
	stream := s.stream(func(c *jetstream.StreamConfig) { c.AllowBatchPublish = true })
	o := s.warm(nil, Env{})
	config := stream.CachedInfo().Config
	config.AllowBatchPublish = false
	_, err := s.client().UpdateStream(bg, config)
	must(t, err)
	put(t, o, sample("a", 0, 80))
	if _, err := o.Flush(bg); err == nil || !strings.Contains(err.Error(), "batch publish is disabled") {
		t.Error("the flush says", err)
	}
	if o.batched {
		t.Error("it will be tried again")
	}
	settle(t, o)
	farEnd{got: s.messages, once: true}.check(t, "a", 80)
}

// A record that is refused while others are written is in the dead letter once.
func TestNATSRefusedWhileWriting(t *testing.T) {
	s := newNATSServer(t, nil)
	s.stream(func(c *jetstream.StreamConfig) { c.AllowBatchPublish, c.MaxMsgSize = true, 2048 })
	n := 0
	o := s.warm(nil, Env{Dropped: func(string, string, int) { n++ }})
	put(t, o, lines("a", "1", strings.Repeat("x", 3000), "2", "3"))
	until(t, func() error {
		if len(o.conn.answers) < 4 { // the start, the refusal, the gap, the end
			return errors.New("not answered yet")
		}
		return nil
	})
	put(t, o, lines("b", "1"))
	settle(t, o)
	if a := s.messages("a"); n != 1 || strings.Join(a, " ") != "1 2 3" {
		t.Errorf("%d refused, %q arrived", n, a)
	}
}

// Where records may wait for long before they are flushed, no batch is left open.
func TestNATSBatchesAreNotLeftOpen(t *testing.T) {
	s := newNATSServer(t, nil)
	s.stream(func(c *jetstream.StreamConfig) { c.AllowBatchPublish = true })
	for _, age := range []time.Duration{time.Second, time.Minute} {
		o := s.warm(func(spec *Spec) { spec.Batch.Age = age }, Env{})
		put(t, o, sample("a", 0, 5))
		if b := o.conn.batch; !b.open() || b.ended != (age > 10*time.Second) {
			t.Errorf("age %s: open %v, ended %v", age, b.open(), b.ended)
		}
		settle(t, o)
		must(t, o.Close())
	}
}

// Whatever is answered while a batch is open, the window's books are right.
func FuzzNATSBatchAnswer(f *testing.F) {
	const rest = "id.64.fail.3.1.$FI"
	for _, s := range []string{
		"", `{"type":"ack","seq":3,"msgs":10}`, `{"type":"gap","last_seq":2,"seq":4}`, `{"type":"err","seq":2,"error":{"err_code":10077}}`,
		`{"error":{"err_code":10054}}`, `{"error":{"err_code":10208}}`, `{"stream":"LOGS","seq":9,"batch":"id","count":2}`,
		`{"type":"ack","seq":18446744073709551615}`,
	} {
		f.Add(rest, []byte(s))
	}
	f.Fuzz(func(t *testing.T, rest string, data []byte) {
		o := &natsOutput{window: newNATSWindow(logconfig.Batch{Bytes: 1 << 20, Records: 10})}
		b := sample("a", 0, 8)
		format, err := record.NewMessages("raw", "h")
		must(t, err)
		format.Encode(b)
		w := &o.window
		w.add(b, "logs.a")
		o.conn = &natsConn{}
		o.conn.begin(w)
		o.conn.batch.id = "id"
		for w.advance() {
			w.launched()
			o.conn.batch.size++
		}
		for range 2 {
			o.batchAnswered(rest, &nats.Msg{Data: data})
		}
		flying := 0
		for _, s := range w.slots {
			if s.load != nil {
				flying++
			}
		}
		left := 0
		for _, l := range w.loads {
			for i := range l.items {
				if !l.items[i].settled {
					left++
				}
			}
		}
		if flying != w.flying || left < flying || left == 0 && !w.empty() {
			t.Errorf("%d under way, %d slots, %d items left", w.flying, flying, left)
		}
	})
}

// What a stream allows is asked for again when the answer was lost with the connection.
func TestNATSAsksAgain(t *testing.T) {
	s := newNATSServer(t, nil)
	s.stream(func(c *jetstream.StreamConfig) { c.AllowBatchPublish = true })
	o := s.opened(nil, Env{}).(*natsOutput)
	var err error
	o.conn, err = o.connect(bg)
	must(t, err)
	o.conn.info = "lost" // nobody listens
	put(t, o, sample("a", 0, 3))
	settle(t, o)
	if o.asked != o.conn || o.known {
		t.Fatal("the answer was not lost")
	}
	o.hangUp()
	for i := 1; !o.known; i++ {
		if i > 100 {
			t.Fatal("it does not ask again")
		}
		put(t, o, sample("a", i*3, 3))
		settle(t, o)
	}
	if !o.batched {
		t.Error("it does not know that the stream takes batches")
	}
}

// The first messages of a process go one by one to a stream whose leader may change, and to
// any one until that is known.
func TestNATSBeginsOneByOne(t *testing.T) {
	s := newNATSServer(t, nil)
	s.stream(nil)
	for what, c := range map[string]struct {
		settings string
		proven   int
		many     bool
	}{
		"not known":               {"", 0, false},
		"not known, no answer":    {"", natsFlow, true},
		"no leader to change":     {`"num_replicas":1,"allow_batched":true`, 0, true},
		"replicas":                {`"num_replicas":3,"allow_batched":true`, 100, false},
		"replicas, after a while": {`"num_replicas":3,"allow_batched":true`, natsSlots, true},
		"replicas, no batches":    {`"num_replicas":3`, 0, true},
	} {
		t.Run(what, func(t *testing.T) {
			o := s.opened(nil, Env{}).(*natsOutput)
			var err error
			o.conn, err = o.connect(bg)
			must(t, err)
			o.heedSettings([]byte(`{"config":{"name":"LOGS","duplicate_window":3600000000000,` + c.settings + `}}`))
			o.known, o.proven = c.settings != "", c.proven
			b := sample("a", 0, 50)
			o.Encode(b)
			o.window.add(b, "logs.a")
			o.window.width = 50
			must(t, o.send(bg))
			if many := o.window.flying > 1; many != c.many {
				t.Errorf("%d are under way", o.window.flying)
			}
		})
	}
}
