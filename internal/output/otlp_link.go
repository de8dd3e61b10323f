package output

import (
	"context"
	"crypto/tls"
	"net"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// An otlpLink is a gRPC connection, made by its first call. It knows why it could not
// be made, or broke: the library hands on no more than a text.
type otlpLink struct {
	conn *grpc.ClientConn
	dial func(ctx context.Context, network, address string) (net.Conn, error)

	mu    sync.Mutex // what the library's goroutines tell
	raw   net.Conn
	cause error
}

// newOTLPLink prepares a connection to endpoint; no tls: in plain text.
func newOTLPLink(endpoint string, tls *tls.Config, dial func(context.Context, string, string) (net.Conn, error)) (*otlpLink, error) {
	l := &otlpLink{dial: dial}
	guard := insecure.NewCredentials()
	if tls != nil {
		guard = credentials.NewTLS(tls)
	}
	var err error
	l.conn, err = grpc.NewClient("passthrough:///"+endpoint, // names are looked up by the dialer
		grpc.WithContextDialer(l.connect), grpc.WithNoProxy(),
		grpc.WithTransportCredentials(&otlpGuard{guard, l}),
		grpc.WithDisableRetry(), grpc.WithDisableServiceConfig(),
		grpc.WithUserAgent("logcatchsys"),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(otlpCodec{})))
	if err != nil {
		return nil, err
	}
	return l, nil
}

func (l *otlpLink) connect(ctx context.Context, address string) (net.Conn, error) {
	c, err := l.dial(ctx, "tcp", address)
	if err != nil {
		l.note(nil, err)
		return nil, err
	}
	noted := &otlpConn{c, l}
	l.note(noted, nil)
	return noted, nil
}

// note keeps the connection that was made, or why there is none.
func (l *otlpLink) note(c net.Conn, cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.raw, l.cause = c, cause
}

func (l *otlpLink) noted() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.raw, l.cause
}

// close does not wait until a far end that hangs has read the goodbye.
func (l *otlpLink) close() {
	if raw, _ := l.noted(); raw != nil {
		_ = raw.Close() // given up: what it says does not matter
	}
	_ = l.conn.Close() // fails only if it is closed
}

// An otlpConn notes why it breaks.
type otlpConn struct {
	net.Conn
	link *otlpLink
}

func (c *otlpConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	return n, c.broken(err)
}

func (c *otlpConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	return n, c.broken(err)
}

// broken notes the first error of the link's own connection.
func (c *otlpConn) broken(err error) error {
	if err == nil {
		return nil
	}
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if c.link.raw == net.Conn(c) && c.link.cause == nil {
		c.link.cause = err
	}
	return err
}

// An otlpGuard notes why a handshake fails.
type otlpGuard struct {
	credentials.TransportCredentials
	link *otlpLink
}

func (g *otlpGuard) ClientHandshake(ctx context.Context, authority string, c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	secured, info, err := g.TransportCredentials.ClientHandshake(ctx, authority, c)
	if err != nil {
		g.link.note(nil, err) // the library closes c
	}
	return secured, info, err
}

func (g *otlpGuard) Clone() credentials.TransportCredentials {
	return &otlpGuard{g.TransportCredentials.Clone(), g.link}
}
