package output

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/record"
)

// A syslogUDP sends each message as a datagram. What becomes of one nobody says, but for
// a host that answers that nobody listens: then the last one is sent again.
type syslogUDP struct {
	syslogEncoder
	syslogSieve
	to   *syslogTarget
	conn net.Conn // nil: there is none
	sent int      // messages of the batch in hand
	last []byte   // the message that was sent last; empty: it needs not be sent again
	lost bool     // it has not arrived
}

// Write sends the messages of b, each once there was no word against the one before it.
func (u *syslogUDP) Write(ctx context.Context, b *record.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := u.connect(ctx); err != nil {
		return err
	}
	for ; u.sent < len(b.Spans); u.sent++ {
		size := spanSize(b, u.sent)
		if size > u.syslogSieve.most {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		end := b.Spans[u.sent].End
		if err := u.send(b.Out[end-size : end]); err != nil {
			return err
		}
	}
	// Now that b is taken for sure: a Flush commits the letters that were written.
	if err := u.sift(ctx, b); err != nil {
		return err
	}
	u.sent = 0
	u.sifted()
	return nil
}

// connect makes the socket, and has what was lost sent again.
func (u *syslogUDP) connect(ctx context.Context) (err error) {
	if u.conn == nil {
		if u.conn, _, err = u.to.connect(ctx); err != nil {
			return err
		}
	}
	if err := u.conn.SetWriteDeadline(time.Now().Add(u.to.timeout)); err != nil {
		return u.failed(err)
	}
	if !u.lost {
		return nil
	}
	if _, err := u.conn.Write(u.last); err != nil {
		return u.failed(err)
	}
	u.lost = false
	return u.heard()
}

func (u *syslogUDP) send(message []byte) error {
	if _, err := u.conn.Write(message); err != nil {
		return u.failed(err)
	}
	u.last = append(u.last[:0], message...)
	return nil
}

// heard is what was said against the last message by now.
func (u *syslogUDP) heard() error {
	_ = u.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
	var answer [1]byte
	_, err := u.conn.Read(answer[:])
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return u.failed(err)
}

// failed lets go of the socket: the next one may find another address under the name.
func (u *syslogUDP) failed(err error) error {
	u.lost = u.lost || len(u.last) > 0 && errors.Is(err, syscall.ECONNREFUSED)
	u.conn.Close()
	u.conn = nil
	return u.to.failed(err)
}

// Flush looks whether the receiver is there. More it cannot know.
func (u *syslogUDP) Flush(ctx context.Context) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if u.conn != nil || u.lost {
		if err := u.connect(ctx); err != nil {
			return nil, err
		}
		if err := u.heard(); err != nil {
			return nil, err
		}
	}
	return u.dead.Flush(ctx)
}

// Close closes the socket.
func (u *syslogUDP) Close() error {
	if u.conn != nil {
		u.conn.Close()
		u.conn = nil
	}
	return u.dead.Close()
}
