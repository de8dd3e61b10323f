package output

import (
	"errors"
	"net"
	"time"
)

// A NATS server speaks first.
// https://docs.nats.io/reference/reference-protocols/nats-protocol#info
const natsGreeting = "INFO "

// natsGreetTime is how long it may take to do so.
const natsGreetTime = 5 * time.Second

var (
	errNotNATS    = errors.New("the other end does not speak NATS; is the port right?")
	errNATSSilent = errors.New("no answer in time: a NATS server begins with INFO, and nothing came; is the port right?")
)

// A natsGreeted is a connection that fails when the other end does not begin as a NATS
// server does. The library would wait for a whole line, for as long as for all of
// connecting.
type natsGreeted struct {
	net.Conn
	dialer *natsDialer
	wait   *time.Timer
	read   int // bytes of the greeting
}

func newNATSGreeted(conn net.Conn, d *natsDialer) *natsGreeted {
	return &natsGreeted{Conn: conn, dialer: d, wait: time.AfterFunc(d.patience, func() {
		d.fail(errNATSSilent)
		conn.Close()
	})}
}

func (c *natsGreeted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.read == len(natsGreeting) || n == 0 {
		return n, err
	}
	c.wait.Stop()
	rest := natsGreeting[c.read:]
	head := min(n, len(rest))
	if string(p[:head]) != rest[:head] {
		c.dialer.fail(errNotNATS)
		return 0, errNotNATS
	}
	c.read += head
	return n, err
}

func (c *natsGreeted) Close() error {
	c.wait.Stop()
	return c.Conn.Close()
}
