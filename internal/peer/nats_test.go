package peer

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// natsUp is a NATS peer that runs and has its stream.
func natsUp(t *testing.T, kind string) (p Peer, url string) {
	t.Helper()
	p, err := New(kind, t.TempDir())
	must(t, err)
	t.Cleanup(func() { must(t, p.Close()) })
	must(t, p.Start())
	switch p := p.(type) {
	case *NATSCluster:
		return p, p.url()
	case *NATS:
		url = "nats://" + p.addr
	}
	must(t, withNATS(url, 10*time.Second, func(ctx context.Context, js jetstream.JetStream) error {
		_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: natsStream, Subjects: []string{"logs.*"}})
		return err
	}))
	return p, url
}

func natsPublish(t *testing.T, url string, messages ...string) {
	t.Helper()
	must(t, withNATS(url, 10*time.Second, func(ctx context.Context, js jetstream.JetStream) error {
		for ; len(messages) > 0; messages = messages[1:] {
			m := messages[0]
			data := fmt.Appendf(nil, `{"message":%q}`, m)
			if _, err := js.Publish(ctx, "logs.a", data, jetstream.WithRetryAttempts(100)); err != nil {
				return err
			}
		}
		return nil
	}))
}

// What it has acknowledged it holds, also after kill -9.
func TestNATS(t *testing.T) {
	t.Parallel()
	p, url := natsUp(t, "nats")
	config := p.Config()
	natsPublish(t, url, "one", "two")
	for _, down := range []func() error{p.Kill, p.Stop} {
		must(t, down())
		must(t, p.Start())
		natsPublish(t, url, "more")
	}
	if text := dumped(t, p); text != "one\ntwo\nmore\nmore\n" || p.Config() != config {
		t.Errorf("%s holds %q", p.Config(), text)
	}
}

// The others go on when the leader is killed.
func TestNATSCluster(t *testing.T) {
	t.Parallel()
	p, url := natsUp(t, "nats cluster")
	if text := dumped(t, p); text != "" {
		t.Errorf("it holds %q", text)
	}
	natsPublish(t, url, "one", "two")
	must(t, p.Kill())
	natsPublish(t, url, "three")
	if text := dumped(t, p); text != "one\ntwo\nthree\n" {
		t.Errorf("it holds %q", text)
	}
}
