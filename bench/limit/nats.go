package main

import (
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/logcatchsys/logcatchsys/internal/record"
)

const (
	subject = "logs.bench"
	stream  = "LOGS"
	window  = 1 << 14     // messages without an acknowledgement
	stall   = time.Minute // for an acknowledgement, when there are so many
)

// A publisher sends a cargo to JetStream, with the library's asynchronous publish.
type publisher struct {
	options
	*cargo
	js     jetstream.JetStream
	spare  chan *nats.Msg // acknowledged: to be used again
	failed chan error     // the first failure
}

func sendNATS(o options) error {
	c, err := load(o, record.NewMessages)
	if err != nil {
		return err
	}
	p := &publisher{options: o, cargo: c, spare: make(chan *nats.Msg, window), failed: make(chan error, 1)}
	conn, err := nats.Connect("nats://"+o.address, nats.NoReconnect(),
		nats.ClosedHandler(func(*nats.Conn) { p.note(nats.ErrConnectionClosed) }))
	if err != nil {
		return err
	}
	defer conn.Close()
	p.js, err = jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(window),
		jetstream.WithPublishAsyncAckHandler(func(_ jetstream.JetStream, m *nats.Msg, _ *jetstream.PubAck) { p.put(m) }),
		jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, _ *nats.Msg, err error) { p.note(err) }))
	if err != nil {
		return err
	}
	for i := range o.lines {
		if err := p.publish(i); err != nil {
			return err
		}
	}
	return p.wait(conn)
}

func (p *publisher) publish(i uint64) error {
	m := p.take()
	m.Header["id"][0] = string(p.appendID(nil, i, p.line))
	m.Header[jetstream.MsgIDHeader][0] = m.Header["id"][0]
	m.Header["offset"][0] = string(p.appendOffset(nil, i, p.line))
	m.Data = p.encoded(i)
	_, err := p.js.PublishMsgAsync(m, jetstream.WithStallWait(stall))
	return err
}

// take gives a message that is not on its way.
func (p *publisher) take() *nats.Msg {
	select {
	case m := <-p.spare:
		return m
	default:
		return &nats.Msg{Subject: subject, Header: nats.Header{
			"id": {""}, "offset": {""}, jetstream.MsgIDHeader: {""}, jetstream.ExpectedStreamHeader: {stream},
			"host": {p.host}, "source": {p.source}, "file": {p.file},
		}}
	}
}

// put is called on the library's goroutine, and must not block.
func (p *publisher) put(m *nats.Msg) {
	select {
	case p.spare <- m:
	default:
	}
}

// note keeps the first failure.
func (p *publisher) note(err error) {
	select {
	case p.failed <- err:
	default:
	}
}

// wait waits until all is acknowledged.
func (p *publisher) wait(conn *nats.Conn) error {
	select {
	case <-p.js.PublishAsyncComplete():
	case err := <-p.failed:
		return err
	}
	select {
	case err := <-p.failed:
		return err
	default:
		return conn.LastError()
	}
}
