package output

import (
	"io"
	"net"
	"sync"
	"time"
)

// A syslogLink is one connection to a receiver. Receivers say nothing; so it is read
// only to see at once when the receiver goes away.
type syslogLink struct {
	conn   net.Conn
	raw    net.Conn // below TLS
	born   time.Time
	broken chan struct{}
	err    error     // why it is broken
	at     time.Time // when it broke

	once sync.Once
	read chan struct{} // closed when the reader has ended
}

func newSyslogLink(conn, raw net.Conn) *syslogLink {
	l := &syslogLink{conn: conn, raw: raw, born: time.Now(), broken: make(chan struct{}), read: make(chan struct{})}
	go func() {
		defer close(l.read)
		_, err := io.Copy(io.Discard, conn)
		if err == nil {
			err = io.EOF
		}
		l.fail(err)
	}()
	return l
}

// fail breaks the link, unless it is broken; a write that hangs ends.
func (l *syslogLink) fail(err error) {
	l.once.Do(func() {
		l.err, l.at = err, time.Now()
		l.raw.Close()
		close(l.broken)
	})
}

// lived is how long it stood. Only for one that is broken.
func (l *syslogLink) lived() time.Duration { return l.at.Sub(l.born) }

func (l *syslogLink) isBroken() bool {
	select {
	case <-l.broken:
		return true
	default:
		return false
	}
}

// close ends it; over TLS the other end is told, unless that would have to wait.
func (l *syslogLink) close() {
	if n, _ := unacknowledged(l.raw); n == 0 && !l.isBroken() {
		l.conn.Close()
	}
	l.fail(net.ErrClosed)
	<-l.read
}
