package output

import (
	"io"
	"net"
	"testing"
	"time"
)

func TestUnacknowledged(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	must(t, err)
	defer c.Close()
	peer, err := l.Accept()
	must(t, err)
	defer peer.Close()

	// Nobody reads: what does not fit into the sockets is refused, what waits is not acknowledged.
	written := 0
	eventually(t, "sockets that are full", func() bool {
		must(t, c.SetWriteDeadline(time.Now().Add(50*time.Millisecond)))
		n, _ := c.Write(make([]byte, 1<<20))
		written += n
		return n == 0 && written > 0
	})
	if n, whole := unacknowledged(c); n == 0 || n > written || !whole {
		t.Errorf("%d of %d bytes, whole %v", n, written, whole)
	}
	if silent(c) {
		t.Error("a kernel that answers is called silent")
	}
	_, err = io.CopyN(io.Discard, peer, int64(written))
	must(t, err)
	eventually(t, "the acknowledgement", func() bool { n, whole := unacknowledged(c); return n == 0 && whole })
	must(t, peer.Close())
	eventually(t, "the end", func() bool { _, whole := unacknowledged(c); return !whole })
}
