package output

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/logcatchsys/logcatchsys/internal/record"
	"github.com/logcatchsys/logcatchsys/logconfig"
)

// checkProbe probes and compares what is said.
func checkProbe(t *testing.T, what string, spec Spec, want string) {
	t.Helper()
	patience := time.Minute
	if want == "no answer" {
		patience = 3 * time.Second
	}
	ctx, cancel := context.WithTimeout(bg, patience)
	defer cancel()
	err := Probe(ctx, spec, Env{Host: "h1", Log: quiet()}, []*record.Batch{sample("a", 0, 0), sample("a", 0, 0)})
	switch {
	case want == "" && err == nil:
	case want == "" || err == nil || !strings.Contains(err.Error(), want):
		t.Errorf("%s: it says %v, want %q", what, err, want)
	case strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "\n"):
		t.Errorf("%s: it says %v", what, err)
	}
}

func TestProbeKafka(t *testing.T) {
	making := kfake.BrokerConfigs(map[string]string{"auto.create.topics.enable": "true"})
	b := newBroker(t, making)
	spec := b.spec()
	checkProbe(t, "a topic that would be made", spec, "")
	spec.ExactlyOnce = true
	checkProbe(t, "exactly once", spec, "")
	if n := len(b.held("logs.a")) + len(b.held("positions")); n != 0 {
		t.Errorf("it has sent %d messages", n)
	}

	strict, err := kfake.NewCluster(kfake.NumBrokers(1))
	must(t, err)
	t.Cleanup(strict.Close)
	s := &broker{Cluster: strict, t: t}
	spec.Brokers = s.ListenAddrs()
	checkProbe(t, "a missing topic", spec, "there is no topic logs.a")
	s.make("logs.a", nil)
	checkProbe(t, "a topic that is there", spec, "")
	s.make("positions", map[string]string{"cleanup.policy": "delete"})
	checkProbe(t, "positions that expire", spec, "compact")
	s.make("both", map[string]string{"cleanup.policy": "compact,delete"})
	spec.PositionsTopic = "both"
	checkProbe(t, "positions that expire all the same", spec, "compact")
	spec.ExactlyOnce = false
	checkProbe(t, "no positions", spec, "")

	spec.Brokers = []string{nobody(t)}
	checkProbe(t, "nobody there", spec, "refused")
	spec.Brokers = []string{"no-such-host.invalid:9092"}
	checkProbe(t, "a name that is not there", spec, "DNS")
	b2 := newBroker(t)
	spec.Brokers, spec.TLS.Set = b2.ListenAddrs(), true
	checkProbe(t, "a broker without TLS", spec, "no answer")
}

// deliver sends a record, or says why not.
func (b *broker) deliver(spec Spec) error {
	b.t.Helper()
	spec.Timeout = 2 * time.Second
	o, err := Open(spec, Env{Host: "h1", Log: quiet(), Note: func([]byte) error { return nil }})
	must(b.t, err)
	defer o.Close()
	put(b.t.(*testing.T), o, sample("a", 0, 1))
	until(b.t.(*testing.T), func() error {
		_, err = o.Flush(bg)
		if err != nil && strings.Contains(err.Error(), "no answer") { // it goes on
			return err
		}
		return nil
	})
	return err
}

func TestKafkaOverTLS(t *testing.T) {
	for _, c := range []struct {
		name   string
		what   otlpCertificate
		server string // server_name
		other  bool   // another authority is trusted
		want   string // in the error; "": delivered
	}{
		{name: "good"},
		{name: "server_name", what: otlpCertificate{name: "logs.example"}, server: "logs.example"},
		{name: "another name", what: otlpCertificate{name: "logs.example"}, want: "another name"},
		{name: "expired", what: otlpCertificate{expired: true}, want: "has expired"},
		{name: "unknown authority", other: true, want: "authority that is not known"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			chain := otlpCert(t, c.what)
			b := newBroker(t, kfake.TLS(chain.server), kfake.SeedTopics(1, "logs.a"))
			spec := b.spec()
			spec.TLS = logconfig.TLS{Set: true, CA: chain.ca, ServerName: c.server}
			if c.other {
				spec.TLS.CA = otlpCert(t, c.what).ca
			}
			checkProbe(t, c.name, spec, c.want)
			if err := b.deliver(spec); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("delivering says %v, want %q", err, c.want)
			}
		})
	}
}

func TestKafkaSASL(t *testing.T) {
	for mechanism, name := range map[string]string{"plain": "PLAIN", "scram-sha-256": "SCRAM-SHA-256", "scram-sha-512": "SCRAM-SHA-512"} {
		t.Run(mechanism, func(t *testing.T) {
			t.Parallel()
			b := newBroker(t, kfake.SeedTopics(1, "logs.a"), kfake.EnableSASL(), kfake.Superuser(name, "u", "p"))
			spec := b.spec()
			for password, want := range map[string]string{"p": "", "s3cret": "SASL"} {
				spec.SASL = logconfig.SASL{Mechanism: mechanism, Username: "u", Password: logconfig.Secret(password)}
				checkProbe(t, mechanism, spec, want)
				if err := b.deliver(spec); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
					t.Errorf("delivering says %v, want %q", err, want)
				}
			}
		})
	}
}
