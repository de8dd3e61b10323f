package output

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// A natsConn is a connection that ends when it is lost.
type natsConn struct {
	nc   *nats.Conn
	raw  *natsDialer
	host string

	token   string         // of this connection alone
	inbox   string         // what the subjects of answers begin with
	info    string         // the subject of the answer about the stream
	replies []string       // by slot
	answers chan *nats.Msg // has room for one to each message under way
	said    chan error     // what the server complains about
	denied  chan error     // that it lets nobody ask about streams
	lost    chan struct{}  // closed when the connection is
	batch   natsBatch
	batches int       // so far
	heard   time.Time // the last answer, or when the first message after a silence was sent

	msg                      nats.Msg // used again and again, and its header's values
	id, offset, source, file []string
}

// connect connects to the first server that lets us in, and makes the stream if we are
// told to. A server that hangs leaves time for the others.
func (o *natsOutput) connect(ctx context.Context) (*natsConn, error) {
	var all []error
	each := o.spec.Timeout / time.Duration(len(o.spec.Servers))
	for range o.spec.Servers {
		server := o.spec.Servers[o.server%len(o.spec.Servers)]
		c, err := o.connectTo(ctx, server, each)
		if err == nil {
			if err = o.prepare(ctx, c); err == nil {
				return c, nil
			}
			c.close()
		}
		o.server++
		if ctx.Err() != nil && !errors.Is(err, errNATSSilent) {
			err = ctx.Err()
		}
		all = append(all, fmt.Errorf("%s: %w", natsHost(server), explained(err)))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, oneLine(all)
}

// oneLine joins errors.
func oneLine(all []error) error {
	err := all[0]
	for _, e := range all[1:] {
		err = fmt.Errorf("%w; %w", err, e)
	}
	return err
}

func (o *natsOutput) connectTo(ctx context.Context, server string, timeout time.Duration) (*natsConn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	c := &natsConn{host: natsHost(server), raw: &natsDialer{ctx: ctx, dial: o.env.Dial, patience: natsGreetTime}}
	stop := context.AfterFunc(ctx, c.cut)
	defer stop()
	c.said, c.denied, c.lost = make(chan error, 1), make(chan error, 1), make(chan struct{})
	var err error
	if c.nc, err = nats.Connect(server, append(o.login, c.options(o.spec, timeout)...)...); err != nil {
		return nil, natsRefused(c.raw.cause(err))
	}
	if err := c.listen(o); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *natsConn) options(spec Spec, timeout time.Duration) []nats.Option {
	return []nats.Option{
		nats.Name("logcatchsys " + spec.Name),
		nats.NoReconnect(), nats.IgnoreDiscoveredServers(), nats.IgnoreAuthErrorAbort(),
		nats.SkipHostLookup(), // it takes no context; the dialer does it
		nats.SetCustomDialer(c.raw),
		nats.Timeout(timeout), nats.FlusherTimeout(spec.Timeout),
		nats.PingInterval(30 * time.Second),
		nats.ClosedHandler(func(*nats.Conn) { close(c.lost) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { c.complain(err) }),
	}
}

// listen subscribes to the answers.
func (c *natsConn) listen(o *natsOutput) error {
	slots := len(o.window.slots)
	c.answers = make(chan *nats.Msg, slots+16)
	inbox := c.nc.NewInbox()
	c.inbox, c.token = inbox+".", inbox[strings.LastIndexByte(inbox, '.')+1:]
	c.info = c.inbox + infoToken
	c.replies = make([]string, slots)
	for i := range c.replies {
		c.replies[i] = c.inbox + strconv.Itoa(i)
	}
	values := make([]string, 4)
	c.id, c.offset, c.source, c.file = values[0:1], values[1:2], values[2:3], values[3:4]
	c.msg.Header = nats.Header{
		nats.MsgIdHdr: c.id, "id": c.id, "host": {o.env.Host}, "source": c.source, "file": c.file, "offset": c.offset,
	}
	if o.spec.Stream != "" {
		c.msg.Header[nats.ExpectedStreamHdr] = []string{o.spec.Stream}
	}
	_, err := c.nc.ChanSubscribe(c.inbox+">", c.answers)
	return err
}

// complain keeps the first complaint of the server. To ask about the stream may be
// forbidden: to publish does not need it.
func (c *natsConn) complain(err error) {
	to := c.said
	if natsForbidden(err) && isAPI(err) {
		to = c.denied
	}
	select {
	case to <- fmt.Errorf("%s: %w", c.host, err):
	default:
	}
}

// broken is err, or better what the server said before it closed the connection.
func (c *natsConn) broken(err error) error {
	select {
	case said := <-c.said:
		return said
	default:
	}
	if last := c.nc.LastError(); last != nil && !(natsForbidden(last) && isAPI(last)) {
		err = last
	}
	return fmt.Errorf("%s: the connection is lost: %w", c.host, explained(err))
}

// cut ends what is under way, also a call that hangs and holds the library's lock.
func (c *natsConn) cut() { c.raw.cut() }

// close does not wait for the server.
func (c *natsConn) close() {
	c.cut()
	c.nc.Close()
}

// A natsDialer makes one connection, and can cut it at any time.
type natsDialer struct {
	ctx      context.Context // of connecting
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
	patience time.Duration // until the server speaks

	mu   sync.Mutex
	conn net.Conn
	done bool
	err  error // of the last dial or the greeting: the library does not always hand it on
}

// Dial is called by the library.
func (d *natsDialer) Dial(network, address string) (net.Conn, error) {
	conn, err := d.dial(d.ctx, network, address)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil && d.done {
		conn.Close()
		err = net.ErrClosed
	}
	if d.err = err; err != nil {
		return nil, err
	}
	d.conn = newNATSGreeted(conn, d)
	return d.conn, nil
}

// fail keeps why the server is given up, unless it is anyway.
func (d *natsDialer) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err == nil && !d.done {
		d.err = err
	}
}

func (d *natsDialer) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.done = true
	if d.conn != nil {
		d.conn.Close()
	}
}

// cause is why connecting failed.
func (d *natsDialer) cause(err error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.err != nil:
		return d.err
	case d.ctx.Err() != nil:
		return d.ctx.Err()
	}
	return err
}

// natsRefused adds what to do about it.
func natsRefused(err error) error {
	switch {
	case errors.Is(err, nats.ErrAuthorization):
		return fmt.Errorf("%w: it does not accept the credentials", err)
	case errors.Is(err, nats.ErrSecureConnWanted):
		return fmt.Errorf("TLS: the other end does not speak TLS: %w", err)
	}
	return err
}

// natsHost is what a message may show of a server's URL.
func natsHost(server string) string {
	if u, err := url.Parse(server); err == nil && u.Host != "" {
		return u.Host
	}
	return "a server whose URL cannot be read"
}

// natsLogin is who we are and how we know who the server is.
func natsLogin(spec Spec) ([]nats.Option, error) {
	tlsConfig, err := newTLS(spec.TLS)
	if err != nil {
		return nil, err
	}
	all := []nats.Option{func(o *nats.Options) error {
		o.TLSConfig, o.Secure = tlsConfig, spec.TLS.Set // a server may ask for it too
		return nil
	}}
	if spec.Username != "" {
		all = append(all, nats.UserInfo(spec.Username, spec.Password.Reveal()))
	}
	if spec.Token != "" {
		all = append(all, nats.Token(spec.Token.Reveal()))
	}
	if spec.Credentials != "" {
		if _, err := os.Stat(spec.Credentials); err != nil {
			return nil, fmt.Errorf("credentials: %w", err)
		}
		all = append(all, nats.UserCredentials(spec.Credentials))
	}
	if spec.NKey != "" {
		key, err := nats.NkeyOptionFromSeed(spec.NKey)
		if err != nil {
			return nil, fmt.Errorf("nkey: %s: %w", spec.NKey, err)
		}
		all = append(all, key)
	}
	return all, nil
}
