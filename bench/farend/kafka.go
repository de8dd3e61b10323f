package main

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// topic is where the records go. Others, such as one of positions, are not counted.
const topic = "logs.bench"

// kafkaSink is a broker that checks every batch as Kafka does.
type kafkaSink struct {
	cluster *kfake.Cluster
	topicID [16]byte
	came    atomic.Uint64
	bytes   atomic.Uint64
}

func newKafka(more ...kfake.Opt) (farEnd, error) {
	c, err := kfake.NewCluster(append(more,
		kfake.NumBrokers(1), kfake.AllowAutoTopicCreation(), kfake.SeedTopics(1, topic), kfake.DefaultNumPartitions(1))...)
	if err != nil {
		return nil, err
	}
	info := c.TopicInfo(topic)
	if info == nil {
		c.Close()
		return nil, fmt.Errorf("topic %s was not made", topic)
	}
	s := &kafkaSink{cluster: c, topicID: info.TopicID}
	c.ControlKey(int16(kmsg.Produce), func(q kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		s.see(q.(*kmsg.ProduceRequest))
		return nil, nil, false // the cluster answers
	})
	return s, nil
}

// see counts the records of a request, by the headers of its batches: byte 57 has the number of
// records (Kafka protocol, record batch, magic 2).
func (s *kafkaSink) see(q *kmsg.ProduceRequest) {
	for _, t := range q.Topics {
		if t.Topic != topic && t.TopicID != s.topicID {
			continue
		}
		for _, p := range t.Partitions {
			if len(p.Records) >= 61 {
				s.came.Add(uint64(binary.BigEndian.Uint32(p.Records[57:])))
				s.bytes.Add(uint64(len(p.Records)))
			}
		}
	}
}

func (s *kafkaSink) addr() string { return s.cluster.ListenAddrs()[0] }

func (s *kafkaSink) count() (tally, error) { return tally{s.came.Load(), s.bytes.Load()}, nil }

func (s *kafkaSink) close() { s.cluster.Close() }
