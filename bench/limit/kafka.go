package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/logcatchsys/logcatchsys/internal/record"
)

const (
	topic          = "logs.bench"
	positionsTopic = "positions"

	// The collector commits once a second while there is more to send.
	commitEvery = time.Second
)

// A message is a Kafka record with all its memory, to be used again.
type message struct {
	kgo.Record
	headers [5]kgo.RecordHeader
	offset  [20]byte
	id      [64]byte
}

// A producer sends a cargo to Kafka.
type producer struct {
	options
	*cargo
	client *kgo.Client
	spare  sync.Pool // of *message
	key    []byte
	failed chan error // the first failure
}

func sendKafka(o options) error {
	c, err := load(o, record.NewMessages)
	if err != nil {
		return err
	}
	p := &producer{options: o, cargo: c, key: []byte(o.source + ":" + o.file), failed: make(chan error, 1)}
	p.spare.New = func() any { return p.newMessage() }
	settings := []kgo.Opt{
		kgo.SeedBrokers(o.address), kgo.DefaultProduceTopic(topic), kgo.AllowAutoTopicCreation(),
		kgo.ProducerBatchCompression(kgo.ZstdCompression()), kgo.MaxBufferedRecords(1 << 15),
	}
	if o.exactlyOnce {
		settings = append(settings, kgo.TransactionalID("limit"))
	}
	if p.client, err = kgo.NewClient(settings...); err != nil {
		return err
	}
	defer p.client.Close()
	if o.exactlyOnce {
		return p.transactions()
	}
	for i := range o.lines {
		p.produce(i)
	}
	return p.flush()
}

// newMessage fills in what all have in common.
func (p *producer) newMessage() *message {
	m := &message{}
	m.headers = [5]kgo.RecordHeader{
		{Key: "id"}, {Key: "host", Value: []byte(p.host)}, {Key: "source", Value: []byte(p.source)},
		{Key: "file", Value: []byte(p.file)}, {Key: "offset"},
	}
	return m
}

func (p *producer) produce(i uint64) {
	m := p.spare.Get().(*message)
	m.headers[0].Value = p.appendID(m.id[:0], i, p.line)
	m.headers[4].Value = p.appendOffset(m.offset[:0], i, p.line)
	m.Record = kgo.Record{Key: p.key, Value: p.encoded(i), Headers: m.headers[:]}
	p.client.Produce(context.Background(), &m.Record, func(_ *kgo.Record, err error) {
		p.note(err)
		p.spare.Put(m)
	})
}

// note keeps the first failure.
func (p *producer) note(err error) {
	if err == nil {
		return
	}
	select {
	case p.failed <- err:
	default:
	}
}

// flush waits until all is acknowledged.
func (p *producer) flush() error {
	if err := p.client.Flush(context.Background()); err != nil {
		return err
	}
	select {
	case err := <-p.failed:
		return err
	default:
		return nil
	}
}

// transactions send what the time between two commits permits in one transaction, with a position.
func (p *producer) transactions() error {
	for i := uint64(0); i < p.lines; {
		if err := p.client.BeginTransaction(); err != nil {
			return err
		}
		for start := time.Now(); i < p.lines; i++ {
			if i%1000 == 0 && time.Since(start) > commitEvery {
				break
			}
			p.produce(i)
		}
		position := &kgo.Record{Topic: positionsTopic, Key: p.key, Value: p.appendOffset(nil, i, p.line)}
		p.client.Produce(context.Background(), position, func(_ *kgo.Record, err error) { p.note(err) })
		if err := p.flush(); err != nil {
			return err
		}
		if err := p.client.EndTransaction(context.Background(), kgo.TryCommit); err != nil {
			return fmt.Errorf("committing: %w", err)
		}
	}
	return nil
}
