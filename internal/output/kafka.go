package output

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/logcatchsys/logcatchsys/internal/record"
)

// kafka sends each record as a message, in order per file while its key stays the same.
// The brokers acknowledge a message when all of its replicas have it, and drop what the
// client itself sends again. Only after a restart may messages come twice, with the
// same ids; kafkaOnce keeps that from happening.
type kafka struct {
	*courier
	*record.Format
	env        Env
	topic, key template
	connect    func(...kgo.Opt) (*kgo.Client, error)
	trouble    trouble
	client     *kgo.Client // nil: to be made
	flight     *flight
	gate       gate

	// met are the topics whose partitions the client knows; nil where a transaction keeps
	// the order. Of another topic one message goes alone: the client keeps what it has of
	// it until it knows them, and then sends the first messages before it has put the last
	// ones behind them; when it fails those, the last ones overtake them.
	met       map[string]bool
	strangers map[string]bool // the other topics of this flight
}

// requestsEach is how many requests are under way before answers are waited for: one
// costs a round trip, and a transaction costs three.
const requestsEach = 8

// kafkaLine leaves room for escapes and headers in what a broker takes by default.
const kafkaLine = 512 << 10

func openKafka(spec Spec, env Env) (Output, error) {
	k, err := newKafka(spec, env)
	if err != nil {
		return nil, err
	}
	if spec.ExactlyOnce {
		return newKafkaOnce(k), nil
	}
	k.met, k.strangers = map[string]bool{}, map[string]bool{}
	if k.client, err = k.connect(); err != nil {
		return nil, errors.Join(err, k.Close())
	}
	return k, nil
}

func newKafka(spec Spec, env Env) (*kafka, error) {
	k := &kafka{env: env, flight: new(flight), trouble: trouble{brokers: spec.Brokers}}
	var err error
	if k.topic, err = parseTemplate("topic", spec.Topic); err != nil {
		return nil, err
	}
	if k.key, err = parseTemplate("key", spec.Key); err != nil {
		return nil, err
	}
	if k.Format, err = record.NewMessages(spec.Format, env.Host); err != nil {
		return nil, err
	}
	env.Dial = k.gate.behind(env.Dial)
	common, err := kafkaOptions(spec, env)
	if err != nil {
		return nil, err
	}
	common = append(common, kgo.WithLogger(&k.trouble))
	k.connect = func(more ...kgo.Opt) (*kgo.Client, error) {
		return kgo.NewClient(append(common[:len(common):len(common)], more...)...)
	}
	if spec.ExactlyOnce {
		env.Undo = nil // what is to be undone is known when the positions are
	}
	spec.Batch.Bytes = max(spec.Batch.Bytes, min(requestsEach*spec.Batch.Bytes, maxParcel/2))
	spec.Batch.Records *= requestsEach
	k.courier, err = newCourier(spec, env, k.send)
	return k, err
}

// send delivers r's items. What was handed to the client at an earlier try is only
// waited for: the client sends it until the brokers have answered.
func (k *kafka) send(ctx context.Context, r *request) error {
	for {
		if !k.flight.aloft {
			if !k.load(r) {
				return nil
			}
			k.launch()
		}
		if err := k.land(ctx); err != nil {
			return err
		}
		for n, i := range k.flight.items {
			if k.flight.errs[n] == nil {
				k.items[i].settled = true
				if len(k.strangers) > 0 {
					k.met[k.flight.records[n].Topic] = true
				}
			}
		}
		if err := k.flight.first(); err != nil {
			return k.trouble.with(err)
		}
	}
}

// load makes messages of those of r's items that can be sent now, and rejects those that
// never can.
func (k *kafka) load(r *request) bool {
	k.flight.clear()
	clear(k.strangers)
	at := -1
	var of origin
	strange := false
	r.each(func(i int) {
		if p := k.items[i].part; p != at {
			at, of = p, k.originOf(k.head(i))
			strange = k.met != nil && !k.met[of.topic]
		}
		if size := of.size(k.encoded(i)); size > largestMessage {
			r.reject(i, tooLarge, fmt.Sprintf("%d bytes with key and headers; %d is the most", size, largestMessage))
			k.items[i].settled = true
			return
		}
		if strange {
			if k.strangers[of.topic] {
				return
			}
			k.strangers[of.topic] = true
		}
		k.flight.add(i, &of, k.items[i].offset, k.encoded(i))
	})
	return len(k.flight.items) > 0
}

// originOf is what all messages of b have in common.
func (k *kafka) originOf(b *record.Batch) origin {
	return origin{
		batch: b, topic: legalTopic(k.topic.fill(b, k.env.Host, nil)), key: []byte(k.key.fill(b, k.env.Host, nil)),
		host: []byte(k.env.Host), source: []byte(b.Source), file: []byte(b.File),
	}
}

func (k *kafka) launch() {
	k.gate.mu.Lock()
	defer k.gate.mu.Unlock()
	k.flight.launch(k.client)
}

// land waits until the brokers have answered for all that was launched.
func (k *kafka) land(ctx context.Context) error {
	if err := k.client.Flush(ctx); err != nil {
		return k.trouble.with(err)
	}
	k.flight.aloft = false
	k.trouble.clear()
	return nil
}

// Close gives up what was not acknowledged.
func (k *kafka) Close() error {
	k.disconnect()
	return k.courier.Close()
}

func (k *kafka) disconnect() {
	if k.client != nil {
		k.client.Close()
		k.client = nil
	}
	k.flight = new(flight) // the client may still look at what the old one holds
}

// A topic's name has at most 249 of the characters that legalTopic leaves.
const longestTopic = 249

// legalTopic makes a name that brokers take as a topic's: letters, digits, '.', '_', '-'.
func legalTopic(name string) string {
	legal := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '.', r == '_', r == '-':
			return r
		}
		return '_'
	}, name)
	switch legal {
	case "":
		return "_"
	case ".", "..":
		return strings.ReplaceAll(legal, ".", "_")
	}
	return legal[:min(len(legal), longestTopic)]
}

// poison says of an error whether it is about the records themselves: sent again, they
// would be refused again.
func poison(err error) (label string, yes bool) {
	switch {
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge):
		return tooLarge, true
	case errors.Is(err, kerr.InvalidRecord), errors.Is(err, kerr.InvalidTimestamp):
		return refused, true
	}
	return "", false
}
