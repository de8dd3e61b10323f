package peer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func init() {
	register("nats", newNATS)
	programs["nats"] = serveNATS
}

const natsStream = "LOGS"

// serveNATS is a nats-server with JetStream, whose streams are in dir. Its arguments are
// its address, and in a cluster its name, its address there, and the others' there.
func serveNATS(dir string, args []string, ready func(), stop <-chan struct{}) error {
	opts := &server.Options{JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true}
	var err error
	if opts.Host, opts.Port, err = hostPort(args[0]); err != nil {
		return err
	}
	if len(args) > 1 {
		opts.ServerName, opts.Cluster.Name = args[1], "peers"
		if opts.Cluster.Host, opts.Cluster.Port, err = hostPort(args[2]); err != nil {
			return err
		}
		for _, other := range args[3:] {
			opts.Routes = append(opts.Routes, server.RoutesFromStr("nats://"+other)...)
		}
	}
	s, err := server.NewServer(opts)
	if err != nil {
		return err
	}
	s.Start()
	if !s.ReadyForConnections(startTime) {
		return errors.New("it does not take connections")
	}
	ready()
	<-stop
	s.Shutdown()
	s.WaitForShutdown()
	return nil
}

func hostPort(addr string) (string, int, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.Atoi(port)
	return host, n, err
}

// NATS is the far end of type nats: one server, whose stream the output makes.
type NATS struct {
	*childProcess
	addr string
}

func newNATS(dir string) (Peer, error) {
	addr, err := FreeAddr()
	return &NATS{child("nats", dir, addr), addr}, err
}

// Config has the stream made.
func (n *NATS) Config() string { return natsConfig(n.addr) + ", create_stream: true}" }

func natsConfig(servers string) string {
	return fmt.Sprintf("{type: nats, servers: ['nats://%s'], subject: 'logs.{source}', stream: %s, timeout: 5s", servers, natsStream)
}

// Dump writes the message of each record.
func (n *NATS) Dump(w io.Writer) error { return dumpNATS("nats://"+n.addr, w) }

// dumpNATS writes what the stream holds; nothing if it is not there yet.
func dumpNATS(url string, w io.Writer) error {
	var held bytes.Buffer
	err := withNATS(url, 10*time.Second, func(ctx context.Context, js jetstream.JetStream) error {
		held.Reset()
		stream, err := js.Stream(ctx, natsStream)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		return readNATS(ctx, stream, &held)
	})
	if err != nil {
		return err
	}
	_, err = held.WriteTo(w)
	return err
}

// readNATS reads all of a stream.
func readNATS(ctx context.Context, stream jetstream.Stream, held *bytes.Buffer) error {
	left := stream.CachedInfo().State.Msgs
	if left == 0 {
		return nil
	}
	reader, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return err
	}
	messages, err := reader.Messages()
	if err != nil {
		return err
	}
	defer messages.Stop()
	for ; left > 0; left-- {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return fmt.Errorf("%d messages are left: %w", left, err)
		}
		var record struct{ Message *string }
		if err := json.Unmarshal(m.Data(), &record); err != nil || record.Message == nil {
			return fmt.Errorf("a message that is no record: %q", m.Data())
		}
		held.WriteString(*record.Message)
		held.WriteByte('\n')
	}
	return nil
}

// withNATS calls do with a connection, again and again for a minute until it succeeds: a
// cluster without a leader gives no answer, and none of its events tells of an election.
// Each call has so long.
func withNATS(url string, each time.Duration, do func(context.Context, jetstream.JetStream) error) error {
	nc, err := nats.Connect(url, nats.Timeout(startTime))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), each)
		err := do(ctx, js)
		cancel()
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}
