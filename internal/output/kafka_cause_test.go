package output

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/logcatchsys/logcatchsys/internal/peer"
	"github.com/logcatchsys/logcatchsys/internal/record"
)

// nobody is an address at which nothing listens, and which no other process is given.
func nobody(t testing.TB) string {
	address, err := peer.FreeAddr()
	must(t, err)
	return address
}

// Any broker that answers is enough, and what it says counts.
func TestProbeKafkaOneBrokerDown(t *testing.T) {
	strict, err := kfake.NewCluster(kfake.NumBrokers(1))
	must(t, err)
	t.Cleanup(strict.Close)
	b := &broker{Cluster: strict, t: t}
	alive, spec := b.ListenAddrs()[0], b.spec()
	all := [][]string{{nobody(t), alive}, {alive, nobody(t)}, {nobody(t), nobody(t), alive}}
	for _, spec.Brokers = range all {
		checkProbe(t, "a missing topic", spec, "there is no topic logs.a")
	}
	b.make("logs.a", nil)
	for _, spec.Brokers = range all {
		checkProbe(t, "a topic that is there", spec, "")
	}
	spec.Brokers = []string{nobody(t), nobody(t)}
	checkProbe(t, "nobody there", spec, "nothing listens there")

	spec.Brokers, spec.Timeout = []string{"hangs:9092", alive}, 3*time.Second // each has a third of it
	must(t, Probe(bg, spec, Env{Host: "h1", Log: quiet(), Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if address == "hangs:9092" {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}}, []*record.Batch{sample("a", 0, 0)}))
}

// What speaks another protocol is called that, in a probe and when delivering.
func TestKafkaNotSpoken(t *testing.T) {
	kept := newBroker(t).spec()
	for words, want := range map[string]string{
		"HTTP/1.1 400 Bad Request\r\n\r\n": "the other end does not speak Kafka's protocol",
		"INFO {}\r\n":                      "the other end does not speak Kafka's protocol",
		"\xff\xff\xff\xff":                 "the other end does not speak Kafka's protocol",
		"\x15\x03\x01\x00\x02\x02\x46":     "the other end wants TLS",
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			b := &broker{t: t}
			spec := kept
			spec.Brokers = []string{says(t, words)}
			want := spec.Brokers[0] + ": " + want
			checkProbe(t, words, spec, want)
			if err := b.deliver(spec); err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("%q: delivering says %v", words, err)
			}
		})
	}
}

// That there was no answer is said once, and not where the cause is known.
func TestKafkaLate(t *testing.T) {
	b := newBroker(t)
	for _, once := range []bool{false, true} {
		spec := b.spec()
		spec.ExactlyOnce, spec.Timeout = once, 300*time.Millisecond
		for address, want := range map[string]string{
			nobody(t):   "the connection is refused by ",
			says(t, ""): "no answer within 300ms",
		} {
			spec.Brokers = []string{address}
			o, err := Open(spec, Env{Host: "h1", Log: quiet(), Note: func([]byte) error { return nil }})
			must(t, err)
			put(t, o, sample("a", 0, 1))
			until(t, func() error {
				_, err = o.Flush(bg)
				if err != nil && !strings.Contains(err.Error(), want) { // the client may not have tried by then
					return err
				}
				return nil
			})
			if err == nil || !strings.Contains(err.Error(), want) || strings.Count(err.Error(), address) != 1 ||
				strings.Contains(err.Error(), "no answer") != strings.HasPrefix(want, "no answer") || strings.Count(err.Error(), "no answer") > 1 {
				t.Errorf("exactly once %v: it says %v, want %q", once, err, want)
			}
			must(t, o.Close())
		}
	}
}
