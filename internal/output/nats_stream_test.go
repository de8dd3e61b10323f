package output

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/logcatchsys/logcatchsys/internal/record"
)

func TestNATSSubject(t *testing.T) {
	for text, want := range map[string]struct{ filled, wildcard, err string }{
		"logs.{source}":       {"logs.we_b_1_ö__", "logs.*", ""},
		"logs.{host}.x{name}": {"logs.h_1.xwe_b_log", "logs.*.*", ""},
		"{file}":              {"/var/log/we_b_log", "*", ""},
		"a.{label.none}.b":    {"a._.b", "a.*.b", ""},
		"{yyyy}.{mm}":         {"2026.11", "*.*", ""},
		"plain":               {"plain", "plain", ""},
		"a..{source}":         {"", "", "empty word"},
		".a":                  {"", "", "empty word"},
		"{source}.":           {"", "", "empty word"},
		"":                    {"", "", "empty word"},
		"a.*":                 {"", "", "no wildcards"},
		"a.>":                 {"", "", "no wildcards"},
		"a b":                 {"", "", "no blanks"},
		"$JS.{source}":        {"", "", "server's own"},
		"a.{sorce}":           {"", "", "unknown placeholder"},
	} {
		subject, err := natsSubject(text)
		if want.err != "" {
			if err == nil || !strings.Contains(err.Error(), want.err) {
				t.Errorf("%q: %v, want %s", text, err, want.err)
			}
			continue
		}
		must(t, err)
		b := sample("we.b 1\tö*\xff", 0, 0)
		b.File = "/var/log/we.b.log"
		if got := subject.fill(b, "h.1", natsToken); got != want.filled || !server.IsValidPublishSubject(got) {
			t.Errorf("%q: %q, want %q", text, got, want.filled)
		}
		if got := natsWildcard(subject); got != want.wildcard {
			t.Errorf("%q: wildcard %q, want %q", text, got, want.wildcard)
		}
	}
}

func FuzzNATSToken(f *testing.F) {
	for _, s := range []string{"", "a.b", "*", ">", " ", "\x00\r\n", "\xff", "ü\u2028"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		token := natsToken(s)
		if !server.IsValidLiteralSubject("a."+token) || strings.ContainsAny(token, ". \t\r\n") {
			t.Errorf("%q becomes %q", s, token)
		}
	})
}

// No answer but a stream's acknowledgement counts as one.
func FuzzNATSAnswer(f *testing.F) {
	for _, s := range []string{
		"", "{}", "null", "[]", `{"stream":"LOGS","seq":7}`, `{"stream":"LOGS", "seq":7,"duplicate": true}`, `{"stream":""}`,
		`{"error":{"code":400,"err_code":10054,"description":"message size exceeds maximum allowed"},"stream":"LOGS","seq":0}`,
		`{"type":"ack","seq":3,"msgs":10}`, `{"stream":"LOGS","seq":1,"error":{"err_code":1}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v := natsAnswer(&nats.Msg{Data: data})
		if v.err != nil || v.label != "" || !json.Valid(data) {
			return
		}
		var a struct {
			Stream string
			Error  any
		}
		if err := json.Unmarshal(data, &a); err != nil || a.Stream == "" || a.Error != nil {
			t.Errorf("%q counts as taken", data)
		}
	})
}

func TestNATSCreatesItsStream(t *testing.T) {
	s := newNATSServer(t, nil)
	o := s.opened(func(spec *Spec) { spec.CreateStream, spec.DuplicateWindow = true, 3*time.Hour }, Env{}).(*natsOutput)
	put(t, o, sample("a", 0, 3))
	settle(t, o)
	stream, err := s.client().Stream(bg, "LOGS")
	must(t, err)
	c := stream.CachedInfo().Config
	if c.Duplicates != 3*time.Hour || c.Storage != jetstream.FileStorage || fmt.Sprint(c.Subjects) != "[logs.*]" || !c.AllowBatchPublish {
		t.Errorf("made %+v", c)
	}
	must(t, s.client().DeleteStream(bg, "LOGS")) // it is made again
	put(t, o, sample("a", 0, 3))
	settle(t, o)
	farEnd{got: s.messages, once: true}.check(t, "a", 3)
	if o.streamConfig("2.13.9").AllowBatchPublish || o.streamConfig("").AllowBatchPublish {
		t.Error("an old server is asked for what it does not know")
	}
}

// A stream that is there is left as it is; one that forgets ids too early is warned about.
func TestNATSKeepsTheStream(t *testing.T) {
	for _, window := range []time.Duration{time.Minute, time.Hour} {
		s := newNATSServer(t, nil)
		s.stream(func(c *jetstream.StreamConfig) {
			c.Duplicates, c.Subjects, c.Description = window, []string{"logs.>"}, "mine"
			c.AllowBatchPublish = true
		})
		log, said := logged()
		o := s.opened(func(spec *Spec) { spec.CreateStream = true }, Env{Log: log}).(*natsOutput)
		for i := 0; !o.batched; i++ { // until the settings are known
			put(t, o, sample("a", i, 1))
			settle(t, o)
		}
		stream, err := s.client().Stream(bg, "LOGS")
		must(t, err)
		if c := stream.CachedInfo().Config; c.Duplicates != window || c.Description != "mine" {
			t.Errorf("it is now %+v", c)
		}
		warned := strings.Contains(said(), "the stream LOGS knows ids for 1m0s only")
		if warned != (window < time.Hour) {
			t.Errorf("%v: log: %s", window, said())
		}
	}
}

// A server that is stopped and started again has each message once.
func TestNATSServerRestarts(t *testing.T) {
	s := newNATSServer(t, func(o *server.Options) {
		_, port, err := net.SplitHostPort(nobody(t)) // or somebody could take it while the server is down
		must(t, err)
		_, err = fmt.Sscan(port, &o.Port)
		must(t, err)
	})
	s.stream(nil)
	o := s.opened(func(spec *Spec) { spec.Timeout = time.Second }, Env{})
	for i := range 6 {
		put(t, o, sample("a", i*10, 10))
		if i%2 == 1 {
			s.stop()
			s.start()
		}
	}
	settle(t, o)
	s.js = nil
	farEnd{got: s.messages, once: true}.check(t, "a", 60)
}

// Another process that sends the same again, after kill -9, changes nothing.
func TestNATSSentAgain(t *testing.T) {
	s := newNATSServer(t, nil)
	s.stream(nil)
	for range 3 {
		o := s.opened(nil, Env{})
		put(t, o, sample("a", 0, 50))
		put(t, o, sample("a", 50, 50))
		settle(t, o)
		must(t, o.Close())
	}
	farEnd{got: s.messages, once: true}.check(t, "a", 100)
}

// The servers are tried one after another, whatever the first does.
func TestNATSSeveralServers(t *testing.T) {
	s := newNATSServer(t, nil)
	s.stream(nil)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer silent.Close()
	o := s.opened(func(spec *Spec) {
		spec.Servers = []string{"nats://127.0.0.1:1", "nats://" + silent.Addr().String(), "nats://no-such-host.invalid:4222", spec.Servers[0]}
		spec.Timeout = time.Second
	}, Env{})
	put(t, o, sample("a", 0, 3))
	settle(t, o) // a quarter of the time-out may be too short for the good one, too
	s.stop()
	put(t, o, sample("a", 3, 3))
	until(t, func() error { // the first may only tell that the connection was lost
		_, err := o.Flush(bg)
		if err == nil || strings.Contains(err.Error(), "\n") {
			t.Fatal("the flush says", err)
		}
		for _, want := range []string{"127.0.0.1:1: the connection is refused", "no answer in time", "DNS"} {
			if !strings.Contains(err.Error(), want) {
				return fmt.Errorf("%w\nlacks %s", err, want)
			}
		}
		return nil
	})
}

func TestProbeNATS(t *testing.T) {
	samples := []*record.Batch{sample("a", 0, 0), sample("b", 0, 0), sample("a", 0, 0)}
	bare := newNATSServer(t, func(o *server.Options) { o.JetStream = false })
	empty, full, other := newNATSServer(t, nil), newNATSServer(t, nil), newNATSServer(t, nil)
	full.stream(nil)
	other.stream(func(c *jetstream.StreamConfig) { c.Subjects = []string{"logs.a"} })
	secret := newNATSServer(t, func(o *server.Options) { o.Username, o.Password = "u", "p4ss!" })
	for what, c := range map[string]struct {
		server *natsServer
		change func(*Spec)
		want   string // "": nothing is wrong
	}{
		"good":                    {full, nil, ""},
		"without a name":          {full, func(s *Spec) { s.Stream = "" }, ""},
		"can be made":             {empty, func(s *Spec) { s.CreateStream = true }, ""},
		"no stream":               {empty, nil, "no stream takes the subject logs.a"},
		"not for all subjects":    {other, nil, "no stream takes the subject logs.b"},
		"there, but other":        {other, func(s *Spec) { s.CreateStream = true }, "takes other subjects: logs.a"},
		"another stream":          {full, func(s *Spec) { s.Stream = "OTHER" }, "belongs to the stream LOGS, not to OTHER"},
		"no JetStream":            {bare, nil, "JetStream is not enabled"},
		"no JetStream, to create": {bare, func(s *Spec) { s.CreateStream = true }, "JetStream is not enabled"},
		"credentials":             {secret, func(s *Spec) { s.Username, s.Password = "u", "wr0ng!" }, "does not accept the credentials"},
		"refused":                 {full, func(s *Spec) { s.Servers = []string{"nats://127.0.0.1:1"} }, "refused"},
		"DNS":                     {full, func(s *Spec) { s.Servers = []string{"nats://no-such-host.invalid:4222"} }, "DNS"},
		"no TLS":                  {full, func(s *Spec) { s.TLS.Set = true }, "does not speak TLS"},
		"no such file":            {full, func(s *Spec) { s.Credentials = "/no/such.creds" }, "credentials: "},
		"no such seed":            {full, func(s *Spec) { s.NKey = "/no/such.seed" }, "nkey: "},
	} {
		t.Run(what, func(t *testing.T) {
			spec := c.server.spec()
			if c.change != nil {
				c.change(&spec)
			}
			ctx, cancel := context.WithTimeout(bg, time.Minute)
			defer cancel()
			err := Probe(ctx, spec, Env{}, samples)
			switch {
			case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%v, want %q", err, c.want)
			case err != nil && (strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "wr0ng")):
				t.Errorf("not fit to be shown: %v", err)
			}
		})
	}
	if n := len(full.held()); n != 0 {
		t.Errorf("a probe has sent %d messages", n)
	}
	if _, err := empty.client().Stream(bg, "LOGS"); err == nil {
		t.Error("a probe has made a stream")
	}
}
