package output

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/logcatchsys/logcatchsys/internal/record"
)

// probeKafka asks for what delivering needs: brokers, topics, and the right to write to
// them. It begins no transaction: that would end those of a collector that runs.
func probeKafka(ctx context.Context, spec Spec, env Env, samples []*record.Batch) error {
	env.Dial = dialWithin(spec.Timeout/time.Duration(len(spec.Brokers)+1), env.Dial)
	k, err := newKafka(Spec{
		Name: spec.Name, Brokers: spec.Brokers, Topic: spec.Topic, Key: spec.Key, Format: spec.Format, SASL: spec.SASL, TLS: spec.TLS,
		Timeout: spec.Timeout, Compression: spec.Compression,
	}, env)
	if err != nil {
		return err
	}
	defer k.Close()
	// Each broker is tried: one may be down for a moment, as in a rolling restart.
	if k.client, err = k.connect(kgo.RequestRetries(len(spec.Brokers))); err != nil {
		return err
	}
	admin := kadm.NewClient(k.client)
	var topics []string
	for _, b := range samples {
		topics = append(topics, legalTopic(k.topic.fill(b, env.Host, nil)))
	}
	slices.Sort(topics)
	topics = slices.Compact(topics)
	all := topics
	if spec.ExactlyOnce {
		all = append(topics[:len(topics):len(topics)], spec.PositionsTopic)
	}
	meta, err := admin.Metadata(kadm.WithAuthorizedOps(ctx), all...) // makes none that is missing
	if err != nil {
		return k.trouble.at(explained(k.trouble.with(err)).Error(), err)
	}
	for _, topic := range topics {
		if err := mayWrite(ctx, admin, meta, topic); err != nil {
			return err
		}
	}
	if spec.ExactlyOnce {
		return probeOnce(ctx, k.client, spec, env, meta)
	}
	return nil
}

// mayWrite says why nothing can be written to a topic.
func mayWrite(ctx context.Context, admin *kadm.Client, meta kadm.Metadata, topic string) error {
	d := meta.Topics[topic]
	switch {
	case errors.Is(d.Err, kerr.UnknownTopicOrPartition):
		if makesTopics(ctx, admin, meta.Brokers) {
			return nil
		}
		return fmt.Errorf("there is no topic %s, and the brokers do not make one by themselves", topic)
	case d.Err != nil:
		return fmt.Errorf("topic %s: %w", topic, d.Err)
	}
	ops := d.AuthorizedOperations
	if len(ops) > 0 && !slices.Contains(ops, kadm.OpWrite) && !slices.Contains(ops, kadm.OpAll) {
		return fmt.Errorf("topic %s: writing to it is not allowed", topic)
	}
	return nil
}

// makesTopics reports whether the brokers make a topic when something is written to it.
// The first that answers speaks for all.
func makesTopics(ctx context.Context, admin *kadm.Client, brokers kadm.BrokerDetails) bool {
	for _, id := range brokers.NodeIDs() {
		all, err := admin.DescribeBrokerConfigs(ctx, id)
		if err != nil {
			continue
		}
		for _, c := range all {
			for _, kv := range c.Configs {
				if kv.Key == "auto.create.topics.enable" && c.Err == nil {
					return kv.MaybeValue() == "true"
				}
			}
		}
	}
	return false
}

// dialWithin is dial with a time-out, if that is not 0.
func dialWithin(wait time.Duration, dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	if wait <= 0 {
		return dial
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		return dial(ctx, network, address)
	}
}

// probeOnce tries what exactly_once needs beside that.
func probeOnce(ctx context.Context, client *kgo.Client, spec Spec, env Env, meta kadm.Metadata) error {
	topic, admin := spec.PositionsTopic, kadm.NewClient(client)
	d := meta.Topics[topic]
	switch {
	case errors.Is(d.Err, kerr.UnknownTopicOrPartition):
		would, err := admin.ValidateCreateTopics(ctx, positionsPartitions, -1, positionsConfig(), topic)
		if err == nil {
			err = would.Error()
		}
		if err != nil {
			return fmt.Errorf("positions_topic %s is missing and cannot be made: %w", topic, err)
		}
	case d.Err != nil:
		return fmt.Errorf("positions_topic %s: %w", topic, d.Err)
	default:
		if err := mayWrite(ctx, admin, meta, topic); err != nil {
			return err
		}
		policy, err := cleanupPolicy(ctx, client, topic)
		if err == nil && policy != compactOnly {
			return fmt.Errorf("positions_topic %s has cleanup.policy=%s: positions in it expire; make it compact", topic, policy)
		}
	}
	id := transactionalID(env.Host, spec.Name)
	for _, c := range admin.FindTxnCoordinators(ctx, id) {
		if c.Err != nil {
			return fmt.Errorf("transactional id %s: %w", id, c.Err)
		}
	}
	return nil
}
