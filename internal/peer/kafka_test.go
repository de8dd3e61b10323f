package peer

import (
	"context"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// What a broker has acknowledged, it holds after it was down; what was not committed, it
// does not show.
func TestKafkaKeeps(t *testing.T) {
	t.Parallel()
	p, err := New("kafka", t.TempDir())
	must(t, err)
	must(t, p.Start())
	t.Cleanup(func() { must(t, p.Close()) })
	k := p.(*Kafka)
	transact := func(message string, commit bool) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), askTime)
		defer cancel()
		client, err := k.client(kgo.TransactionalID("test"), kgo.AllowAutoTopicCreation(), kgo.DefaultProduceTopic("logs.a"))
		must(t, err)
		defer client.Close()
		must(t, client.BeginTransaction())
		must(t, client.ProduceSync(ctx, &kgo.Record{Key: []byte("k"), Value: []byte(`{"message":"` + message + `"}`)}).FirstErr())
		if commit {
			must(t, client.EndTransaction(ctx, kgo.TryCommit))
		}
	}
	transact("one", true)
	transact("left open", false)
	for _, down := range []func() error{p.Stop, p.Kill} {
		must(t, down())
		must(t, p.Start())
	}
	transact("two", true)
	must(t, p.Kill())
	must(t, p.Start())
	if text := dumped(t, p); text != "one\ntwo\n" {
		t.Errorf("it holds %q", text)
	}
}
