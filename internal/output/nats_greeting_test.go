package output

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/record"
)

// says listens, and says so much to all who connect.
func says(t *testing.T, words string) (address string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			_, _ = io.WriteString(c, words)
			go func() { // until the other end closes
				_, _ = io.Copy(io.Discard, c)
				c.Close()
			}()
		}
	}()
	return l.Addr().String()
}

// What does not begin as a NATS server does is known for it, long before the time-out,
// also if no line ends.
func TestNATSNotSpoken(t *testing.T) {
	for _, words := range []string{"SSH-2.0-OpenSSH_9.6\r\n", "220 m", "\x00\x00\x06\x04", "IN "} {
		address := says(t, words)
		spec := Spec{Name: "js", Type: "nats", Servers: []string{"nats://" + address}, Subject: "logs.a", Format: "json", Timeout: time.Minute}
		err := Probe(bg, spec, Env{Host: "h1", Log: quiet()}, []*record.Batch{sample("a", 0, 0)})
		if err == nil || !strings.HasPrefix(err.Error(), address+": the other end does not speak NATS") {
			t.Errorf("%q: it says %v", words, err)
		}
	}
}

// One that says nothing is not waited for as long as for all of connecting.
func TestNATSSilent(t *testing.T) {
	d := &natsDialer{ctx: bg, dial: new(net.Dialer).DialContext, patience: 10 * time.Millisecond}
	conn, err := d.Dial("tcp", says(t, ""))
	must(t, err)
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(d.cause(err), errNATSSilent) {
		t.Error(err)
	}
	d.cut()
}

// The end of the caller's time does not hide which server it was.
func TestNATSTimeoutNamesServer(t *testing.T) {
	address := says(t, "")
	spec := Spec{Name: "js", Type: "nats", Servers: []string{"nats://" + address}, Subject: "logs.a", Format: "json", Timeout: time.Minute}
	ctx, cancel := context.WithTimeout(bg, 20*time.Millisecond)
	defer cancel()
	err := Probe(ctx, spec, Env{Host: "h1", Log: quiet()}, nil)
	if err == nil || !strings.HasPrefix(err.Error(), address+": no answer in time") {
		t.Errorf("it says %v", err)
	}
}

func TestNATSNoStreamNamed(t *testing.T) {
	s := newNATSServer(t, nil)
	for stream, want := range map[string]string{
		"":     "no stream takes the subject logs.a, or",
		"LOGS": "no stream takes the subject logs.a, or it has no leader now (no responders); if the stream LOGS is not there, make it, or set create_stream",
	} {
		o := s.opened(func(spec *Spec) { spec.Stream = stream }, Env{})
		put(t, o, sample("a", 0, 3))
		_, err := o.Flush(bg)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "create_stream") != (stream != "") {
			t.Errorf("%q: it says %v", stream, err)
		}
	}
}
