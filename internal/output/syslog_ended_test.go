package output

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

// That what was sent last is sent again is said once, however often a receiver takes it
// and goes away, and so is what may be the cause.
func TestSyslogSaysOnceThatItSendsAgain(t *testing.T) {
	l := listen(t, nobody(t))
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			_, _ = c.Read(make([]byte, 1))
			c.Close()
		}
	}()
	var said bytes.Buffer
	spec := syslogSpec("tcp://" + l.Addr().String())
	o, _ := openedSyslog(t, spec, Env{Log: slog.New(slog.NewTextHandler(&said, nil))})
	put(t, o, sample("a", 0, 10))
	for range 5 {
		_, err := o.Flush(bg)
		if err == nil || !strings.Contains(err.Error(), "the other end has closed the connection at once: if it wants TLS, write tls://"+l.Addr().String()) {
			t.Errorf("a flush says %v", err)
		}
	}
	must(t, l.Close())
	r := newReceiver(t, listen(t, l.Addr().String()))
	settle(t, o) // it stands
	r.stop()
	r.wg.Wait()
	put(t, o, sample("a", 10, 10))
	last := newReceiver(t, listen(t, l.Addr().String()))
	settle(t, o)
	eventually(t, "the lines", func() bool { return len(firsts(last.messages("a"))) >= 10 })
	must(t, o.Close()) // nobody writes to said any more
	if n := strings.Count(said.String(), "is sent again"); n != 2 {
		t.Errorf("two outages, said %d times:\n%s", n, &said)
	}
}
