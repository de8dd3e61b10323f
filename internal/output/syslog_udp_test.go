package output

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A udpReceiver takes syslog messages, one a datagram.
type udpReceiver struct {
	c    net.PacketConn
	mu   sync.Mutex
	all  []string
	done chan struct{}
}

func newUDPReceiver(t testing.TB, address string) *udpReceiver {
	c, err := net.ListenPacket("udp", address)
	must(t, err)
	must(t, c.(*net.UDPConn).SetReadBuffer(200<<10)) // what the tests send at once fits
	u := &udpReceiver{c: c, done: make(chan struct{})}
	go u.run()
	t.Cleanup(u.stop)
	return u
}

func (u *udpReceiver) address() string { return u.c.LocalAddr().String() }

func (u *udpReceiver) stop() {
	u.c.Close()
	<-u.done
}

func (u *udpReceiver) run() {
	defer close(u.done)
	buf := make([]byte, 64<<10)
	for {
		n, _, err := u.c.ReadFrom(buf)
		if err != nil {
			return
		}
		u.mu.Lock()
		u.all = append(u.all, string(buf[:n]))
		u.mu.Unlock()
	}
}

func (u *udpReceiver) messages(source string) (all []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, text := range u.all {
		m, err := parseSyslog(text)
		if err != nil {
			return []string{err.Error()}
		}
		if m.param["source"] == source {
			all = append(all, m.msg)
		}
	}
	return all
}

func syslogUDPFarEnd(t *testing.T) farEnd {
	u := newUDPReceiver(t, "127.0.0.1:0")
	return farEnd{spec: syslogSpec("udp://" + u.address()), got: u.messages, blind: true}
}

// A host that says that nobody listens is believed: what was sent last is sent again.
func TestSyslogUDPRefused(t *testing.T) {
	u := newUDPReceiver(t, nobody(t))
	o, _ := openedSyslog(t, syslogSpec("udp://"+u.address()), Env{})
	put(t, o, sample("a", 0, 10))
	settle(t, o)
	eventually(t, "the lines", func() bool { return len(u.messages("a")) == 10 })
	u.stop()

	b := sample("a", 10, 10)
	o.(Encoder).Encode(b)
	for range 3 {
		if err := o.Write(bg, b); err == nil || !strings.Contains(err.Error(), "nothing listens there") {
			t.Fatal("a write says", err)
		}
	}
	again := newUDPReceiver(t, u.address())
	put(t, o, b)
	settle(t, o)
	eventually(t, "the lines", func() bool { return len(again.messages("a")) >= 10 })
	if first := again.messages("a")[0]; first != "a 00000009" && first != "a 00000010" {
		t.Errorf("it goes on with %q", first)
	}
	e := farEnd{got: func(s string) []string { return append(u.messages(s), again.messages(s)...) }}
	e.check(t, "a", 20)

	// The last message of all: only Flush can tell.
	again.stop()
	put(t, o, sample("a", 20, 1))
	for range 3 {
		if _, err := o.Flush(bg); err == nil || !strings.Contains(err.Error(), "nothing listens there") {
			t.Fatal("a flush says", err)
		}
	}
	third := newUDPReceiver(t, u.address())
	settle(t, o)
	eventually(t, "the line", func() bool { return len(third.messages("a")) > 0 })
	if got := fmt.Sprint(third.messages("a")); got != "[a 00000020]" {
		t.Error(got)
	}
}

// A batch that was not taken has left nothing behind when the output is flushed all the
// same, and given up: after a restart, its letter is there once.
func TestSyslogLetterOfABatchNotTaken(t *testing.T) {
	for _, scheme := range []string{"udp", "tcp"} {
		t.Run(scheme, func(t *testing.T) {
			var away atomic.Bool
			var ledger memLedger
			spec := syslogSpec("udp://" + newUDPReceiver(t, "127.0.0.1:0").address())
			if scheme == "tcp" {
				spec = syslogFarEnd(t).spec
			}
			spec.DeadLetter = t.TempDir() + "/dead.jsonl"
			env := Env{Host: "h1", Log: quiet(), Note: ledger.Note, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				if away.Load() {
					return nil, &net.DNSError{Name: "sys", IsNotFound: true}
				}
				return new(net.Dialer).DialContext(ctx, network, address)
			}}
			open := func() Output {
				env.Undo = ledger.undo
				o, err := Open(spec, env)
				must(t, err)
				return o
			}
			b := sample("a", 0, 2)
			b.Data = append(bytes.Repeat([]byte("x"), syslogMost), '\n')
			b.Count = 1
			away.Store(true)
			o := open()
			o.(Encoder).Encode(b)
			ctx, cancel := context.WithCancel(bg)
			if s, ok := o.(*syslogStream); ok {
				s.mu.Lock()
				s.backlog.add(make([]byte, syslogWindow)) // the window is full
				s.mu.Unlock()
			}
			time.AfterFunc(50*time.Millisecond, cancel)
			if err := o.Write(ctx, b); err == nil {
				t.Fatal("taken")
			}
			if s, ok := o.(*syslogStream); ok {
				s.mu.Lock()
				s.backlog = syslogBacklog{} // it has arrived meanwhile
				s.mu.Unlock()
			}
			undo, err := o.Flush(bg)
			must(t, err)
			if undo != nil {
				must(t, ledger.Note(undo))
			}
			must(t, o.Close())

			away.Store(false)
			o = open()
			put(t, o, b)
			settle(t, o)
			must(t, o.Close())
			if n := strings.Count(content(t, spec.DeadLetter), "\n"); n != 1 {
				t.Errorf("%d letters", n)
			}
		})
	}
}
