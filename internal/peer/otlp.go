package peer

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
)

func init() {
	register("otlp", func(dir string) (Peer, error) { return newOTLP("grpc", dir) })
	register("otlp http", func(dir string) (Peer, error) { return newOTLP("http", dir) })
	programs["otlp"] = serveOTLP
}

// otlpFile has the messages that were accepted, a line each.
const otlpFile = "otlp.log"

// An otlp is the OpenTelemetry Collector's own receiver, in a process of its own.
type otlp struct {
	*childProcess
	protocol, addr, dir string
}

func newOTLP(protocol, dir string) (Peer, error) {
	addr, err := FreeAddr()
	return &otlp{child("otlp", dir, protocol, addr), protocol, addr, dir}, err
}

func (o *otlp) Config() string {
	endpoint := o.addr
	if o.protocol == "http" {
		endpoint = "http://" + endpoint
	}
	return fmt.Sprintf("{type: otlp, protocol: %s, endpoint: '%s'}", o.protocol, endpoint)
}

func (o *otlp) Dump(w io.Writer) error {
	held, err := os.ReadFile(filepath.Join(o.dir, otlpFile))
	if err != nil {
		return err
	}
	_, err = w.Write(held[:bytes.LastIndexByte(held, '\n')+1])
	return err
}

func serveOTLP(dir string, args []string, ready func(), stop <-chan struct{}) error {
	keeper, err := openKeeper(filepath.Join(dir, otlpFile))
	if err != nil {
		return err
	}
	defer keeper.file.Close()
	r, err := newReceiver(args[0], args[1], keeper.keep)
	if err != nil {
		return err
	}
	ctx := context.Background()
	if err := r.Start(ctx, componenttest.NewNopHost()); err != nil {
		return err
	}
	ready()
	<-stop
	return r.Shutdown(ctx)
}

func newReceiver(protocol, addr string, keep consumer.ConsumeLogsFunc) (receiver.Logs, error) {
	next, err := consumer.NewLogs(keep)
	if err != nil {
		return nil, err
	}
	factory := otlpreceiver.NewFactory()
	c := factory.CreateDefaultConfig().(*otlpreceiver.Config)
	if protocol == "grpc" {
		c.Protocols.GRPC.GetOrInsertDefault().NetAddr.Endpoint = addr
	} else {
		c.Protocols.HTTP.GetOrInsertDefault().ServerConfig.NetAddr.Endpoint = addr
	}
	return factory.CreateLogs(context.Background(), receivertest.NewNopSettings(factory.Type()), c, next)
}

// A keeper appends messages to a file.
type keeper struct {
	mu   sync.Mutex
	file *os.File
}

// openKeeper cuts off what a kill in the middle of a write has left: it was not accepted.
func openKeeper(path string) (*keeper, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	held, err := io.ReadAll(f)
	if err == nil {
		err = f.Truncate(int64(bytes.LastIndexByte(held, '\n') + 1))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &keeper{file: f}, nil
}

// keep writes the messages of one request.
func (k *keeper) keep(_ context.Context, logs plog.Logs) error {
	var lines []byte
	for _, r := range logs.ResourceLogs().All() {
		for _, s := range r.ScopeLogs().All() {
			for _, l := range s.LogRecords().All() {
				lines = append(append(lines, l.Body().Str()...), '\n')
			}
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	_, err := k.file.Write(lines)
	return err
}
