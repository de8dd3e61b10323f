package output

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

var errTooLong = errors.New("too long")

// A control line is at most so long by default; a server closes the connection when it
// gets a longer one.
const natsLine = 4096

// tooLong says whether the server would close the connection because of the message.
func (c *natsConn) tooLong() error {
	const numbers = 40 // and "HPUB "
	if n := len(c.msg.Subject) + len(c.msg.Reply) + numbers; n > natsLine {
		return natsTooLong("subject", len(c.msg.Subject), natsLine-len(c.msg.Reply)-numbers)
	}
	return nil
}

func natsTooLong(what string, size, most int) error {
	return fmt.Errorf("%w: a %s of %d bytes, the server takes %d", errTooLong, what, size, most)
}

// publish sends the window's next message.
func (c *natsConn) publish(w *natsWindow) error {
	l, i, slot := w.next()
	b := l.head(i)
	c.id[0], c.offset[0] = l.id(i)
	c.source[0], c.file[0] = b.Source, b.File
	c.msg.Subject, c.msg.Reply, c.msg.Data = l.subject, c.replies[slot], l.encoded(i)
	if c.batch.open() {
		c.msg.Reply = c.batchReply()
	}
	if err := c.tooLong(); err != nil {
		return err
	}
	if w.flying == 0 {
		c.heard = time.Now()
	}
	err := c.nc.PublishMsg(&c.msg)
	if errors.Is(err, nats.ErrMaxPayload) {
		size := c.msg.Size() - len(c.msg.Subject) - len(c.msg.Reply)
		return natsTooLong("message", size, int(c.nc.MaxPayload()))
	}
	if err == nil {
		w.launched()
		c.batch.added(l.subject)
	}
	return err
}
