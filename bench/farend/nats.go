package main

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// natsSink is a server with a stream on disk, which keeps ids for as long as the streams do that the
// collector makes.
type natsSink struct {
	server *server.Server
	conn   *nats.Conn
	stream jetstream.Stream
}

const (
	natsWait  = 10 * time.Second
	stream    = "LOGS"
	subjects  = "logs.>"
	duplicate = time.Hour
)

func newNATS(dir string) (farEnd, error) {
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: dir, NoLog: true, NoSigs: true,
	})
	if err != nil {
		return nil, err
	}
	s := &natsSink{server: srv}
	go srv.Start()
	if !srv.ReadyForConnections(natsWait) {
		s.close()
		return nil, fmt.Errorf("not ready within %v", natsWait)
	}
	if err := s.makeStream(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *natsSink) makeStream() error {
	conn, err := nats.Connect(s.server.ClientURL())
	if err != nil {
		return err
	}
	s.conn = conn
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), natsWait)
	defer cancel()
	s.stream, err = js.CreateStream(ctx, jetstream.StreamConfig{
		Name: stream, Subjects: []string{subjects}, Storage: jetstream.FileStorage, Duplicates: duplicate,
	})
	return err
}

func (s *natsSink) addr() string { return s.server.Addr().String() }

func (s *natsSink) count() (tally, error) {
	ctx, cancel := context.WithTimeout(context.Background(), natsWait)
	defer cancel()
	info, err := s.stream.Info(ctx)
	if err != nil {
		return tally{}, err
	}
	return tally{info.State.Msgs, info.State.Bytes}, nil
}

func (s *natsSink) close() {
	if s.conn != nil {
		s.conn.Close()
	}
	s.server.Shutdown()
	s.server.WaitForShutdown()
}
