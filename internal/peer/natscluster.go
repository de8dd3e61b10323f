package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

func init() { register("nats cluster", newNATSCluster) }

// NATSCluster is a far end of type nats too: three servers, each of which has all of the
// stream. Kill ends the one that leads the stream; the others go on without it.
type NATSCluster struct {
	nodes []*childProcess
	addrs []string
	made  bool // the stream was
}

func newNATSCluster(dir string) (Peer, error) {
	const size = 3
	c := &NATSCluster{}
	var routes []string
	for range 2 * size {
		addr, err := FreeAddr()
		if err != nil {
			return nil, err
		}
		if len(c.addrs) < size {
			c.addrs = append(c.addrs, addr)
		} else {
			routes = append(routes, addr)
		}
	}
	for i, addr := range c.addrs {
		own := filepath.Join(dir, natsNode(i))
		if err := os.MkdirAll(own, 0o755); err != nil {
			return nil, err
		}
		args := append([]string{addr, natsNode(i), routes[i]}, routes...)
		c.nodes = append(c.nodes, child("nats", own, args...))
	}
	return c, nil
}

func natsNode(i int) string { return fmt.Sprint("n", i) }

func (c *NATSCluster) url() string { return "nats://" + strings.Join(c.addrs, ",nats://") }

// Config names all servers.
func (c *NATSCluster) Config() string {
	return natsConfig(strings.Join(c.addrs, "', 'nats://")) + "}"
}

// Start starts the servers that are down, and waits until the stream can be written to.
func (c *NATSCluster) Start() error {
	for _, n := range c.nodes {
		if n.cmd != nil {
			continue
		}
		if err := n.Start(); err != nil {
			return err
		}
	}
	return withNATS(c.url(), natsPatience, c.ready)
}

// natsPatience is how long a cluster that has leaders may take for an answer.
const natsPatience = 2 * time.Second

// ready makes the stream if it was not made yet, and looks whether it has a leader.
func (c *NATSCluster) ready(ctx context.Context, js jetstream.JetStream) error {
	if !c.made {
		_, err := js.CreateStream(ctx, jetstream.StreamConfig{
			Name: natsStream, Subjects: []string{"logs.*"}, Replicas: len(c.nodes), Duplicates: time.Hour,
			AllowBatchPublish: true, // or messages may change places when the leader changes
		})
		if err != nil {
			return err
		}
		c.made = true
	}
	_, err := c.leader(ctx, js)
	return err
}

// leader is the server that leads the stream.
func (c *NATSCluster) leader(ctx context.Context, js jetstream.JetStream) (*childProcess, error) {
	stream, err := js.Stream(ctx, natsStream)
	if err != nil {
		return nil, err
	}
	for i, n := range c.nodes {
		if cluster := stream.CachedInfo().Cluster; cluster != nil && cluster.Leader == natsNode(i) {
			return n, nil
		}
	}
	return nil, errors.New("nobody leads the stream")
}

// Kill kills the leader of the stream.
func (c *NATSCluster) Kill() error {
	var leader *childProcess
	err := withNATS(c.url(), natsPatience, func(ctx context.Context, js jetstream.JetStream) (err error) {
		leader, err = c.leader(ctx, js)
		return err
	})
	if err != nil {
		return err
	}
	return leader.Kill()
}

// Stop stops all servers.
func (c *NATSCluster) Stop() error { return c.each((*childProcess).Stop) }

// Close kills all servers.
func (c *NATSCluster) Close() error { return c.each((*childProcess).Kill) }

func (c *NATSCluster) each(do func(*childProcess) error) error {
	var all []error
	for _, n := range c.nodes {
		all = append(all, do(n))
	}
	return errors.Join(all...)
}

// Dump writes the message of each record.
func (c *NATSCluster) Dump(w io.Writer) error { return dumpNATS(c.url(), w) }
