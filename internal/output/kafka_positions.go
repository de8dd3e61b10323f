package output

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/logcatchsys/logcatchsys/internal/checkpoint"
)

// The keys in the positions topic are host/output/kind/key, the first two escaped as
// in a URL's path. The values are:
const (
	positionRecord = "position" // the mark of the checkpoint's key
	noteRecord     = "note"     // the dead letter's undo note
	ownerRecord    = "owner"    // who took the name over last
)

// forgetAfter is how long positions are kept that no checkpoint knows.
const forgetAfter = 30 * 24 * time.Hour

// processInstance is this process among all that use its transactional ids.
var processInstance = rand.Text()

// What we make the topic of positions like. Small segments, because only those that are
// full are compacted, and all there is is read at each start.
const positionsPartitions = 16

// compactOnly is the one cleanup.policy under which positions stay; under "compact,delete"
// those of quiet files expire.
const compactOnly = "compact"

func positionsConfig() map[string]*string {
	policy, segment := compactOnly, "33554432"
	return map[string]*string{"cleanup.policy": &policy, "segment.bytes": &segment}
}

// A place is where a message lies.
type place struct {
	partition int32
	offset    int64
}

func (o *kafkaOnce) name(kind, key string) string {
	return url.PathEscape(o.env.Host) + "/" + url.PathEscape(o.spec.Name) + "/" + kind + "/" + key
}

// Positions takes the name over, so that nobody else writes any more, and gives the
// positions of the last transaction that was committed under it.
func (o *kafkaOnce) Positions(ctx context.Context, known func(key string) bool) ([]checkpoint.Entry, error) {
	limited, cancel := context.WithTimeout(ctx, o.spec.Timeout)
	defer cancel()
	if !o.owned {
		if err := o.takeOver(limited); err != nil {
			return nil, o.late(ctx, fmt.Errorf("taking over the transactional id %s: %w", o.id, err))
		}
	}
	kept := map[string]*kgo.Record{}
	if err := o.read(ctx, o.placed.partition, kgo.NewOffset().AtStart(), o.placed.offset+1, func(r *kgo.Record) {
		kept[string(r.Key)] = r
	}); err != nil {
		return nil, fmt.Errorf("reading the topic %s: %w", o.spec.PositionsTopic, err)
	}
	if err := o.recall(kept[o.name(noteRecord, "")]); err != nil {
		return nil, err
	}
	return o.entries(kept, known), nil
}

// entries are the positions in kept. What nobody knows any more is to be forgotten.
func (o *kafkaOnce) entries(kept map[string]*kgo.Record, known func(key string) bool) (all []checkpoint.Entry) {
	prefix := o.name(positionRecord, "")
	o.old = nil
	for name, r := range kept {
		key, ours := strings.CutPrefix(name, prefix)
		if !ours || len(r.Value) == 0 {
			continue
		}
		if o.env.Now().Sub(r.Timestamp) > forgetAfter && !known(key) {
			o.old = append(o.old, key)
			continue
		}
		all = append(all, checkpoint.Entry{Key: key, Value: r.Value})
	}
	return all
}

// recall opens the dead letter with the note that was committed with the positions. The
// checkpoint's may be older, if the process was killed between both commits; the file
// only grows, so the longer one is right. After a clean stop there is nothing to undo.
func (o *kafkaOnce) recall(committed *kgo.Record) error {
	env := o.env
	if committed != nil {
		o.noted = string(committed.Value)
		here, err := decodeNote(env.Undo)
		if err != nil {
			return err
		}
		there, err := decodeNote(committed.Value)
		if err != nil {
			return fmt.Errorf("topic %s: %w", o.spec.PositionsTopic, err)
		}
		if len(here) > 0 {
			env.Undo = encodeLonger(here, there)
		}
	}
	dead, err := newDeadLetter(o.spec, env)
	if err != nil {
		return err
	}
	old := o.dead
	o.dead = dead
	return old.Close()
}

// takeOver makes a client, ends what was begun under our transactional id, and says that
// we own it now.
func (o *kafkaOnce) takeOver(ctx context.Context) (err error) {
	if err = o.open(); err != nil {
		return err
	}
	if err = o.makeTopic(ctx); err == nil {
		_, _, err = o.client.ProducerID(ctx)
	}
	if err != nil {
		return o.trouble.with(err) // it goes on with this client
	}
	if err := o.claim(ctx); err != nil {
		o.disconnect()
		return o.trouble.with(err)
	}
	o.owned = true
	o.trouble.clear()
	return nil
}

// open makes a client, if there is none.
func (o *kafkaOnce) open() (err error) {
	if o.client == nil {
		o.client, err = o.connect(kgo.TransactionalID(o.id), kgo.TransactionTimeout(o.timeout))
	}
	return err
}

// claim writes the owner record in a transaction of its own. No position of us can come
// after it but our own, and all of those before it are decided.
func (o *kafkaOnce) claim(ctx context.Context) error {
	if err := o.client.BeginTransaction(); err != nil {
		return err
	}
	o.flight.clear()
	o.flight.put(o.spec.PositionsTopic, o.name(ownerRecord, ""), []byte(o.instance), o.env.Now())
	o.launch()
	if err := o.client.Flush(ctx); err != nil {
		return err
	}
	o.flight.aloft = false
	if err := o.flight.errs[0]; err != nil {
		return err
	}
	o.placed = place{o.flight.records[0].Partition, o.flight.records[0].Offset}
	return o.client.EndTransaction(ctx, kgo.TryCommit)
}

// makeTopic makes the topic of positions, or looks whether the one that is there keeps them.
func (o *kafkaOnce) makeTopic(ctx context.Context) error {
	if o.checked {
		return nil
	}
	topic := o.spec.PositionsTopic
	_, err := kadm.NewClient(o.client).CreateTopic(ctx, positionsPartitions, -1, positionsConfig(), topic)
	switch {
	case err == nil:
		o.checked = true
		return nil
	case errors.Is(err, kerr.TopicAlreadyExists):
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		// It may be there all the same; if it is not, the next step says so.
	default:
		return fmt.Errorf("making the topic %s: %w", topic, err)
	}
	policy, err := cleanupPolicy(ctx, o.client, topic)
	if err == nil && policy != compactOnly {
		o.env.Log.Warn(fmt.Sprintf("output %s: the topic %s has cleanup.policy=%s: positions in it expire, and files whose positions are gone are delivered again or not at all; make it compact",
			o.spec.Name, topic, policy))
	}
	o.checked = ctx.Err() == nil
	return ctx.Err()
}

// cleanupPolicy is what becomes of the messages of a topic when they are old.
func cleanupPolicy(ctx context.Context, client *kgo.Client, topic string) (string, error) {
	ask := kmsg.NewDescribeConfigsRequestResource()
	ask.ResourceType, ask.ResourceName, ask.ConfigNames = kmsg.ConfigResourceTypeTopic, topic, []string{"cleanup.policy"}
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Resources = append(req.Resources, ask)
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return "", err
	}
	for _, r := range resp.Resources {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			return "", err
		}
		for _, c := range r.Configs {
			if c.Name == ask.ConfigNames[0] && c.Value != nil {
				return *c.Value, nil
			}
		}
	}
	return "", errors.New("the brokers do not say what its cleanup.policy is")
}

// ownerSince is who said last, after us, that the transactional id is theirs; "": nobody.
func (o *kafkaOnce) ownerSince(ctx context.Context) (owner string, err error) {
	topic, p := o.spec.PositionsTopic, o.placed.partition
	ends, err := kadm.NewClient(o.client).ListCommittedOffsets(ctx, topic)
	if err != nil {
		return "", err
	}
	end, ok := ends.Lookup(topic, p)
	if !ok || end.Err != nil || end.Offset <= o.placed.offset+2 { // what ends our transaction has an offset too
		return "", end.Err
	}
	err = o.read(ctx, p, kgo.NewOffset().At(o.placed.offset+1), end.Offset, func(r *kgo.Record) {
		if string(r.Key) == o.name(ownerRecord, "") {
			owner = string(r.Value)
		}
	})
	return owner, err
}

// read lets see look at what is committed in a partition of the positions topic, from
// one offset to another. It waits for what is not decided yet.
func (o *kafkaOnce) read(ctx context.Context, partition int32, from kgo.Offset, to int64, see func(*kgo.Record)) error {
	topic := o.spec.PositionsTopic
	reader, err := o.connect(
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: from}}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
	)
	if err != nil {
		return err
	}
	defer reader.Close()
	for at := int64(0); at < to; {
		limited, cancel := context.WithTimeout(ctx, o.spec.Timeout) // for some progress
		fetches := reader.PollFetches(limited)
		cancel()
		if err := fetches.Err(); err != nil {
			return o.late(ctx, o.trouble.with(err))
		}
		fetches.EachRecord(func(r *kgo.Record) {
			at = r.Offset + 1
			if at <= to && !r.Attrs.IsControl() {
				see(r)
			}
		})
	}
	return nil
}

func transactionalID(host, output string) string { return "logcatchsys-" + host + "/" + output }

// encodeLonger is a note of the files in a, each with the longer of its committed lengths.
func encodeLonger(a, b []noted) []byte {
	n := note{Files: slices.Clone(a)}
	for i := range n.Files {
		for _, f := range b {
			if f.Path == n.Files[i].Path && f.same(n.Files[i].identity) {
				n.Files[i].Size = max(n.Files[i].Size, f.Size)
			}
		}
	}
	out, _ := json.Marshal(n) // strings and numbers only: cannot fail
	return out
}
