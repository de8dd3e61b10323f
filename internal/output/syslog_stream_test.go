package output

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/record"
)

// eventually waits until something holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain for " + what)
		}
	}
}

// complete wants all lines up to n, the first of each in order.
func complete(t *testing.T, r *receiver, n int) {
	t.Helper()
	e := farEnd{got: r.messages}
	e.check(t, "a", n)
}

// What a receiver had not read when it went away is sent again as soon as it is back,
// though it was acknowledged, and flushed, and nothing more is written.
func TestSyslogUnreadIsSentAgain(t *testing.T) {
	r := newReceiver(t, listen(t, nobody(t)))
	r.stall()
	o, _ := openedSyslog(t, syslogSpec("tcp://"+r.l.Addr().String()), Env{})
	for i := range 5 {
		put(t, o, sample("a", i*10, 10))
		_, err := o.Flush(bg)
		must(t, err)
	}
	r.stop()
	again := newReceiver(t, listen(t, r.l.Addr().String()))
	eventually(t, "the lines", func() bool { return len(again.messages("a")) >= 50 })
	complete(t, again, 50)
}

// A receiver that takes connections and closes them has not taken what was sent.
func TestSyslogTurnedAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // how long a connection stands is what counts
		var away atomic.Bool
		var r receiver
		o, _ := openedSyslog(t, syslogSpec("tcp://h:1"), Env{Dial: func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			if !away.Load() {
				r.take(theirs)
				return ours, nil
			}
			go func() { _, _ = io.Copy(io.Discard, theirs) }()
			time.AfterFunc(200*time.Millisecond, func() { theirs.Close() })
			return ours, nil
		}})
		away.Store(true)
		put(t, o, sample("a", 0, 10))
		for range 3 {
			if _, err := o.Flush(bg); err == nil || !strings.Contains(err.Error(), "tcp://h:1: the other end has closed the connection") {
				t.Error("a flush says", err)
			}
		}
		away.Store(false)
		settle(t, o)
		complete(t, &r, 10)
	})
}

// dialPatiently dials without a time-out, whatever that of the output is.
func dialPatiently(ctx context.Context, network, address string) (net.Conn, error) {
	return new(net.Dialer).DialContext(context.WithoutCancel(ctx), network, address)
}

// A receiver that does not read is said to be slow, and gets nothing twice.
func TestSyslogSlowReceiver(t *testing.T) {
	r := newReceiver(t, listen(t, "127.0.0.1:0"))
	r.stall()
	spec := syslogSpec("tcp://" + r.l.Addr().String())
	spec.Timeout = 100 * time.Millisecond
	o, _ := openedSyslog(t, spec, Env{Dial: dialPatiently})
	n, step := 0, 20000
	slow := func(err error) bool { return err != nil && strings.Contains(err.Error(), "taken nothing for 100ms") }
	for times := 0; times < 2; { // in a row: once may be us
		if n > 100*step {
			t.Fatal("it takes without end")
		}
		b := sample("a", n, step)
		o.(Encoder).Encode(b)
		err := o.Write(bg, b)
		if err == nil {
			n += step
			_, err = o.Flush(bg)
		}
		for times = 0; times < 2 && slow(err); times++ {
			_, err = o.Flush(bg)
		}
		if err != nil && !slow(err) && !strings.Contains(err.Error(), "no connection within") {
			t.Fatal(err)
		}
	}
	if r.connections() != 1 {
		t.Errorf("%d connections", r.connections())
	}
	r.wake()
	settle(t, o)
	if r.connections() != 1 {
		t.Fatal("the connection was given up")
	}
	eventually(t, "the lines", func() bool { return len(r.got()) >= n })
	if got := r.messages("a"); len(got) < n || len(got)%step != 0 || got[len(got)-1] != fmt.Sprintf("a %08d", len(got)-1) {
		t.Errorf("%d messages, the last is %s", len(got), got[len(got)-1])
	}
}

// A connection on which nothing moves and nobody answers is given up.
func TestSyslogDeadConnection(t *testing.T) {
	r := newReceiver(t, listen(t, "127.0.0.1:0"))
	spec := syslogSpec("tcp://" + r.l.Addr().String())
	spec.Timeout = 50 * time.Millisecond
	var dials atomic.Int32
	o, _ := openedSyslog(t, spec, Env{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if dials.Add(1) == 1 {
			ours, theirs := net.Pipe()
			t.Cleanup(func() { theirs.Close() })
			return ours, nil
		}
		return dialPatiently(ctx, network, address)
	}})
	put(t, o, sample("a", 0, 10))
	until(t, func() error {
		_, err := o.Flush(bg)
		switch {
		case err != nil && strings.Contains(err.Error(), "no connection within"): // not yet
			return err
		case err == nil || !strings.Contains(err.Error(), "has taken nothing"):
			t.Error("a flush says", err)
		}
		return nil
	})
	settle(t, o)
	complete(t, r, 10)
	if n := dials.Load(); n != 2 {
		t.Errorf("%d connections", n)
	}
}

// Connections that break again and again, each before all of the backlog has passed: what
// passes must be more than what is sent again.
func TestSyslogBreaksAgainAndAgain(t *testing.T) {
	r := newReceiver(t, listen(t, "127.0.0.1:0"))
	spec := syslogSpec("tcp://" + r.l.Addr().String())
	o, _ := openedSyslog(t, spec, Env{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		slow := &slowConn{Conn: c, bytes: 900 << 10}
		slow.cut = time.AfterFunc(syslogProbation+rand.N(200*time.Millisecond), func() { c.Close() })
		return slow, nil
	}})
	const n = 8000 // about 1.3 MB
	put(t, o, sample("a", 0, n))
	settle(t, o)
	// Not in order, if the receiver still reads an old connection when it has the next one.
	eventually(t, "the lines", func() bool { return len(firsts(r.messages("a"))) == n })
}

// A slowConn lets some bytes through, at once, and then nothing until it is cut.
type slowConn struct {
	net.Conn
	bytes int
	cut   *time.Timer
}

func (c *slowConn) Write(p []byte) (int, error) {
	if c.bytes -= len(p); c.bytes > 0 {
		return c.Conn.Write(p)
	}
	var one [1]byte
	_, err := c.Conn.Read(one[:])
	return 0, fmt.Errorf("cut by the test: %w", err)
}

func (c *slowConn) Close() error {
	c.cut.Stop()
	return c.Conn.Close()
}

// Restarts at random moments, in order, of a receiver that reads all the time.
func TestSyslogRestarts(t *testing.T) {
	first := newReceiver(t, listen(t, nobody(t)))
	spec := syslogSpec("tcp://" + first.l.Addr().String())
	spec.Retry.Initial, spec.Retry.Max = time.Millisecond, 5*time.Millisecond
	o, _ := openedSyslog(t, spec, Env{})
	r := first
	all := first.messages
	for i := range 100 {
		put(t, o, sample("a", i*50, 50))
		if i%20 == 10 {
			before, last := all, r
			last.stop()
			last.wg.Wait()
			r = newReceiver(t, listen(t, spec.Address[len("tcp://"):]))
			now := r
			all = func(s string) []string { return append(before(s), now.messages(s)...) }
		}
		if i%10 == 5 {
			settle(t, o)
		}
	}
	settle(t, o)
	farEnd{got: all}.check(t, "a", 5000)
}

// The backlog against a model: positions stand at the ends of messages, nothing is let
// go that was not flushed and sent, or is not old, and all that is kept is given again.
func TestSyslogBacklog(t *testing.T) {
	block := make([]byte, 1<<20)
	for i := range block {
		block[i] = byte(rand.Uint32())
	}
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(1, seed))
		var b syslogBacklog
		var model []byte // all that was added
		now := hour
		for range 200 {
			now = now.Add(time.Duration(random.IntN(1000)) * time.Millisecond)
			switch random.IntN(6) {
			case 0:
				data := block[random.IntN(len(block)/2):][:1+random.IntN(400<<10)]
				model = append(model, data...)
				b.add(data)
			case 1, 2:
				if next := b.next(); len(next) > 0 {
					n := 1 + random.IntN(len(next))
					if string(next[:n]) != string(model[b.sent:b.sent+int64(n)]) {
						t.Fatal("not what was added")
					}
					b.advance(n)
				} else if b.sent != int64(len(model)) {
					t.Fatal("nothing to send")
				}
			case 3:
				b.flush(b.sent-random.Int64N(1000), now)
			case 4:
				b.trim(now, random.IntN(2))
			case 5:
				if random.IntN(5) == 0 {
					b.rewind(now)
				}
			}
			if b.flushed > b.highest || b.start > b.flushed || b.start > b.sent || b.end != int64(len(model)) || b.end-b.start != kept(&b) {
				t.Fatalf("seed %d: %+v", seed, b)
			}
		}
	}
}

func kept(b *syslogBacklog) (n int64) {
	for _, c := range b.chunks {
		n += int64(len(c.data))
	}
	return n
}

// What was flushed is kept by bytes and by time.
func TestSyslogBacklogKeeps(t *testing.T) {
	var b syslogBacklog
	chunk := make([]byte, syslogChunkSize)
	for range 100 {
		b.add(chunk)
		b.advance(len(chunk))
		b.flush(b.end, hour)
		b.trim(hour, 0)
	}
	if n := kept(&b); n != syslogKeep {
		t.Errorf("%d bytes are kept", n)
	}
	b.trim(hour.Add(syslogKeepFor-1), 0)
	if n := kept(&b); n != syslogKeep {
		t.Errorf("%d bytes are kept for so long", n)
	}
	b.trim(hour.Add(syslogKeepFor), 0)
	if !b.empty() || b.start != b.end {
		t.Error("old ones are kept")
	}
}

// Records that are too large go to the dead letter, once; the others arrive.
func TestSyslogTooLarge(t *testing.T) {
	for _, network := range []string{"tcp", "udp"} {
		t.Run(network, func(t *testing.T) {
			r, address := newSyslogSink(t, network)
			dropped := 0
			o, dead := openedSyslog(t, syslogSpec(address), Env{Dropped: func(_, label string, n int) {
				if label == tooLarge {
					dropped += n
				}
			}})
			big := strings.Repeat("x", syslogMost)
			text := big + "1\na 00000000\na 00000001\n" + big + "2\n" + big + "3\na 00000002\n" + big + "4\n"
			b := sample("a", 0, 1)
			b.Data, b.Count = []byte(text), 7
			failLetters(o, 3)
			put(t, o, b)
			b.Data, b.Count = []byte(big+"5\na 00000003\n"), 2
			put(t, o, b)
			settle(t, o)
			eventually(t, "the lines", func() bool { return len(r("a")) >= 4 })
			if got := strings.Join(r("a"), ","); got != "a 00000000,a 00000001,a 00000002,a 00000003" {
				t.Error(got)
			}
			letters := content(t, dead)
			for i := 1; i <= 5; i++ {
				if strings.Count(letters, fmt.Sprintf("x%d\"", i)) != 1 {
					t.Errorf("the letter %d is there %d times", i, strings.Count(letters, fmt.Sprintf("x%d\"", i)))
				}
			}
			if dropped != 5 || !strings.Contains(letters, "8096 are taken") {
				t.Errorf("%d dropped; %.300s", dropped, letters)
			}
		})
	}
}

// failLetters lets the disk under a dead letter fail a few times.
func failLetters(o Output, times int) {
	var dead *deadLetter
	switch o := o.(type) {
	case *syslogStream:
		dead = o.dead
	case *syslogUDP:
		dead = o.dead
	}
	f := dead.file.(*file)
	write := f.disk.write
	f.disk.write = func(d *os.File, p []byte) (int, error) {
		if times--; times >= 0 {
			return 0, errFull
		}
		return write(d, p)
	}
}

// newSyslogSink gives a receiver's messages and its address.
func newSyslogSink(t testing.TB, network string) (messages func(source string) []string, address string) {
	if network == "udp" {
		u := newUDPReceiver(t, "127.0.0.1:0")
		return u.messages, "udp://" + u.address()
	}
	r := newReceiver(t, listen(t, "127.0.0.1:0"))
	return r.messages, "tcp://" + r.l.Addr().String()
}

func TestSyslogTLS(t *testing.T) {
	later, past := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	_, otherCA := certificate(t, "127.0.0.1", later)
	for name, c := range map[string]struct {
		address string
		until   time.Time
		ca      string // "": the right one
		mutual  bool   // the receiver wants a certificate, and gets none
		plain   bool
		want    string
	}{
		"good":                   {address: "127.0.0.1", until: later},
		"expired":                {address: "127.0.0.1", until: past, want: "TLS: the certificate has expired"},
		"wrong name":             {address: "127.0.0.2", until: later, want: "TLS: the certificate is for another name"},
		"unknown authority":      {address: "127.0.0.1", until: later, ca: otherCA, want: "TLS: the certificate is signed by an authority that is not known"},
		"no certificate of ours": {address: "127.0.0.1", until: later, mutual: true, want: "certificate required"},
		"no TLS":                 {address: "127.0.0.1", until: later, plain: true, want: "no answer in time"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cert, ca := certificate(t, c.address, c.until)
			l := listen(t, "127.0.0.1:0")
			config := &tls.Config{Certificates: []tls.Certificate{cert}}
			if c.mutual {
				config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
			}
			if !c.plain {
				l = tls.NewListener(l, config)
			}
			r := &receiver{l: l, stalled: c.plain}
			r.wg.Add(1)
			go r.accept()
			t.Cleanup(func() { r.stop(); r.wg.Wait() })
			spec := syslogSpec("tls://" + l.Addr().String())
			spec.TLS.CA = ca
			if c.plain {
				spec.Timeout = 2 * time.Second
			}
			if c.ca != "" {
				spec.TLS.CA = c.ca
			}
			probed := Probe(bg, spec, Env{}, nil)
			if c.want == "" {
				must(t, probed)
				o, _ := openedSyslog(t, spec, Env{})
				put(t, o, sample("a", 0, 10))
				settle(t, o)
				complete(t, r, 10)
				return
			}
			flush := func() error {
				o, _ := openedSyslog(t, spec, Env{})
				put(t, o, sample("a", 0, 10))
				_, err := o.Flush(bg)
				for err != nil && strings.Contains(err.Error(), "no connection within") { // not yet
					_, err = o.Flush(bg)
				}
				return err
			}
			flushed := flush()
			for tries := 0; c.mutual && (probed == nil || flushed == nil) && tries < 20; tries++ { // it said so when nobody looked any more
				probed, flushed = Probe(bg, spec, Env{}, nil), flush()
			}
			for _, err := range []error{probed, flushed} {
				// TLS 1.3 tells of it after the handshake: a write may fail before that is read.
				cut := c.mutual && err != nil && strings.Contains(err.Error(), "the other end has closed the connection")
				if err == nil || !cut && !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), spec.Address) {
					t.Errorf("%v, want %q", err, c.want)
				}
			}
		})
	}
}

func TestProbeSyslog(t *testing.T) {
	r := newReceiver(t, listen(t, nobody(t)))
	must(t, Probe(bg, syslogSpec("tcp://"+r.l.Addr().String()), Env{}, nil))
	must(t, Probe(bg, syslogSpec("udp://127.0.0.1:9"), Env{}, nil))
	r.stop()
	ctx, cancel := context.WithTimeout(bg, time.Minute)
	defer cancel()
	for address, want := range map[string]string{
		"tcp://" + r.l.Addr().String(): "refused", "tls://" + r.l.Addr().String(): "refused",
		"udp://no-such-host.invalid:1": "DNS", "tcp://no-such-host.invalid:1": "DNS",
	} {
		if err := Probe(ctx, syslogSpec(address), Env{}, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", address, err)
		}
	}
	if len(r.got()) != 0 {
		t.Error("a probe has sent records")
	}
	closed := listen(t, "127.0.0.1:0")
	go func() {
		for c, err := closed.Accept(); err == nil; c, err = closed.Accept() {
			c.Close()
		}
	}()
	defer closed.Close()
	until(t, func() error {
		switch err := Probe(ctx, syslogSpec("tcp://"+closed.Addr().String()), Env{}, nil); {
		case err == nil:
			return errors.New("it was let in") // for the moment for which a probe looks
		case !strings.Contains(err.Error(), "closed the connection"):
			t.Error("a receiver that turns us away:", err)
		}
		return nil
	})
}

func TestSyslogBadSpecs(t *testing.T) {
	for _, change := range []func(*Spec){
		func(s *Spec) { s.Address = "127.0.0.1:514" }, func(s *Spec) { s.Address = "unix://x:1" }, func(s *Spec) { s.Address = "tcp://h" },
		func(s *Spec) { s.Facility = "local8" }, func(s *Spec) { s.Severity = "" }, func(s *Spec) { s.Format = "xml" },
		func(s *Spec) { s.Address, s.TLS.CA = "tls://h:1", "/no/such/file" }, func(s *Spec) { s.DeadLetter = "{x}" },
	} {
		spec := syslogSpec("tcp://127.0.0.1:1")
		change(&spec)
		if o, err := Open(spec, Env{Log: quiet()}); err == nil {
			o.Close()
			t.Errorf("taken: %+v", spec)
		}
	}
}

func BenchmarkSyslog(b *testing.B) {
	for _, length := range []int{20, 200} {
		b.Run(fmt.Sprint(length, " bytes"), func(b *testing.B) {
			l := listen(b, "127.0.0.1:0")
			go drain(l)
			defer l.Close()
			o, _ := openedSyslog(b, syslogSpec("tcp://"+l.Addr().String()), Env{})
			line := strings.Repeat("x", length-1) + "\n"
			text := strings.Repeat(line, batchSize/length)
			x := record.NewBatch(batchSize)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				x.Recycle(batchSize)
				x.Source, x.File, x.Gen, x.Read, x.Count = "web", "/var/log/web.log", "0123456789abcdef", hour, batchSize/length
				x.Data = append(x.Data, text...)
				o.(Encoder).Encode(x)
				must(b, o.Write(bg, x))
			}
			_, err := o.Flush(bg)
			must(b, err)
			b.ReportMetric(float64(b.N)*float64(batchSize/length)/b.Elapsed().Seconds(), "lines/s")
		})
	}
}

// drain reads all that comes, as fast as it can.
func drain(l net.Listener) {
	buf := make([]byte, 256<<10)
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		for err == nil {
			_, err = c.Read(buf)
		}
		c.Close()
	}
}
