package output

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/record"
	"github.com/logcatchsys/logcatchsys/logconfig"
)

// A farEnd is one output over a network under the contract, with a real peer at the
// other end of connections that the test can harm.
type farEnd struct {
	spec Spec // what is not common to all: type, address, …

	// got gives the messages that the peer holds for source, in the order in which a
	// reader of it sees them. It may be asked again and again.
	got func(source string) []string

	once     bool   // the peer holds each message once, whatever was sent again
	blind    bool   // nothing tells that a message arrived: faults may lose some (syslog)
	survives string // these faults lose none all the same
	talks    bool   // much is said before the first message: connections live longer

	// wrap, if it is set, makes an output of one that may be lost, and what opens it anew.
	wrap func(open func() Output) Output
}

// A new output over the network joins with one line.
var farEnds = map[string]func(t *testing.T) farEnd{
	"elasticsearch":                func(t *testing.T) farEnd { return elasticsearchFarEnd(t) },
	"elasticsearch, two, one dead": func(t *testing.T) farEnd { return elasticsearchFarEnd(t, deadURL(t)) },
	"syslog":                       syslogFarEnd,
	"syslog, udp":                  syslogUDPFarEnd,
	"http":                         httpFarEnd,
	"loki":                         func(t *testing.T) farEnd { return lokiFarEnd(t, "protobuf") },
	"loki, json":                   func(t *testing.T) farEnd { return lokiFarEnd(t, "json") },
	"http, zstd":                   func(t *testing.T) farEnd { e := httpFarEnd(t); e.spec.Compression = "zstd"; return e },
	"kafka":                        kafkaFarEnd,
	"kafka, once":                  kafkaOnceFarEnd,
	"nats":                         func(t *testing.T) farEnd { return natsFarEnd(t, false) },
	"nats, batches":                func(t *testing.T) farEnd { return natsFarEnd(t, true) },
	"otlp, grpc":                   otlpFarEnd("grpc", "gzip"),
	"otlp, http":                   otlpFarEnd("http", "zstd"),
}

// open opens the output with the settings that are common to all.
func (e farEnd) open(t *testing.T, n *network) Output {
	t.Helper()
	s := e.spec
	s.Name = "far"
	s.Batch = logconfig.Batch{Bytes: 2 << 10, Records: 50, Age: time.Second}
	s.Timeout = 300 * time.Millisecond
	s.DeadLetter = t.TempDir() + "/dead.jsonl"
	open := func() Output {
		o, err := Open(s, Env{Host: "h1", Dial: n.dial, Log: quiet(), Note: func([]byte) error { return nil }})
		must(t, err)
		return o
	}
	if e.wrap != nil {
		return e.wrap(open)
	}
	return open()
}

// A network makes connections and harms them.
type network struct {
	refuse atomic.Int32 // so many connections are refused
	hang   atomic.Bool  // what is written goes nowhere, and nothing comes
	cut    atomic.Int64 // connections are cut after about so many bytes; 0: never
	long   int64        // times that; 0: once

	mu    sync.Mutex
	conns []net.Conn
	made  int
}

func (n *network) dial(ctx context.Context, kind, address string) (net.Conn, error) {
	if n.refuse.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "dial", Net: kind, Err: errors.New("connection refused by the test")}
	}
	c, err := new(net.Dialer).DialContext(ctx, kind, address)
	if err != nil {
		return nil, err
	}
	h := &harmed{Conn: c, n: n}
	if most := n.cut.Load(); most > 0 {
		h.left.Store(1 + rand.Int64N(2*most*max(n.long, 1)))
		h.mortal = true
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns = append(n.conns, c)
	n.made++
	return h, nil
}

// cutAll cuts what is connected.
func (n *network) cutAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.conns {
		c.Close()
	}
	n.conns = nil
}

type harmed struct {
	net.Conn
	n      *network
	mortal bool
	left   atomic.Int64 // bytes, both ways, until it is cut
}

func (h *harmed) Write(p []byte) (int, error) {
	if h.n.hang.Load() {
		return len(p), nil // swallowed
	}
	if h.mortal {
		if left := h.left.Add(-int64(len(p))); left < 0 {
			k, _ := h.Conn.Write(p[:max(0, int64(len(p))+left)])
			h.Conn.Close()
			return k, errors.New("connection cut by the test")
		}
	}
	return h.Conn.Write(p)
}

func (h *harmed) Read(p []byte) (int, error) {
	k, err := h.Conn.Read(p)
	if h.mortal && h.left.Add(-int64(k)) < 0 {
		h.Conn.Close()
		return 0, errors.New("connection cut by the test")
	}
	return k, err
}

// put drives o as the pump does, with pauses that are no pauses.
func put(t *testing.T, o Output, b *record.Batch) {
	t.Helper()
	o.(Encoder).Encode(b)
	until(t, func() error { return o.Write(bg, b) })
}

func settle(t *testing.T, o Output) {
	t.Helper()
	until(t, func() error { _, err := o.Flush(bg); return err })
}

// until tries as the pump does.
func until(t *testing.T, do func() error) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		err := do()
		if err == nil {
			return
		}
		if final(err) || time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
}

// sample is a batch of numbered lines, as a follower makes it.
func sample(source string, first, count int) *record.Batch {
	text := numbered(source, first, count)
	return &record.Batch{
		Source: source, File: "/var/log/" + source + ".log", Labels: `{"env":"test"}`, Gen: "gen-" + source,
		From: int64(first * len(numbered(source, 0, 1))), Key: source, Mark: fmt.Append(nil, first+count),
		Data: []byte(text), Count: count, Read: hour.Add(time.Duration(first) * time.Millisecond),
	}
}

// check compares what the peer holds of source with the lines from 0 to n: each is
// there, and what is there for the first time comes in order.
func (e farEnd) check(t *testing.T, source string, n int) {
	t.Helper()
	want := strings.Split(strings.TrimSuffix(numbered(source, 0, n), "\n"), "\n")
	var got, all []string
	deadline := time.Now().Add(time.Minute)
	for { // a peer may take note later than it answers
		all = e.got(source)
		got = firsts(all)
		if len(got) >= len(want) || time.Now().After(deadline) {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%s: %d of %d lines, not all in order:\n%s", source, len(got), len(want), strings.Join(got, "\n"))
	}
	if e.once && len(all) != len(want) {
		t.Errorf("%s: %d of %d messages are repeated", source, len(all)-len(want), len(all))
	}
}

// firsts is all without what was there before.
func firsts(all []string) (first []string) {
	seen := map[string]bool{}
	for _, s := range all {
		if !seen[s] {
			seen[s] = true
			first = append(first, s)
		}
	}
	return first
}

func TestFarEnds(t *testing.T) {
	faults := map[string]func(n *network, i int){
		"order":       func(*network, int) {},
		"refusals":    func(n *network, i int) { n.refuse.Store(int32(i % 4)); n.cutAll() },
		"cut at once": func(n *network, _ int) { n.cutAll() },
		"cut at random bytes": func(n *network, i int) {
			n.cut.Store([]int64{4000, 1000, 6000, 0}[i%4])
			n.cutAll()
		},
		"a peer that hangs": func(n *network, i int) {
			if i%10 == 5 {
				n.hang.Store(true)
				time.AfterFunc(400*time.Millisecond, func() { n.hang.Store(false); n.cutAll() })
			}
		},
	}
	for name, make := range farEnds {
		for what, harm := range faults {
			t.Run(name+"/"+what, func(t *testing.T) {
				t.Parallel()
				e := make(t)
				if e.blind && what != "order" && !strings.Contains(e.survives, what) {
					t.Skip("nothing tells whether a message arrived")
				}
				n := new(network)
				if e.talks {
					n.long = 4
				}
				o := e.open(t, n)
				sources := []string{"a", "b"}
				for i := range 20 {
					harm(n, i)
					for _, s := range sources {
						put(t, o, sample(s, i*10, 10))
					}
					if i%5 == 4 {
						settle(t, o)
					}
				}
				n.cut.Store(0)
				settle(t, o)
				must(t, o.Close())
				must(t, o.Close())
				for _, s := range sources {
					e.check(t, s, 200)
				}
			})
		}
	}
}

// What is asked of an output ends soon after the one who asks has lost patience, and
// the output goes on as if nothing had happened.
func TestFarEndsCancelled(t *testing.T) {
	for name, make := range farEnds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, n := make(t), new(network)
			o := e.open(t, n)
			ctx, cancel := context.WithCancel(bg)
			cancel()
			b := sample("a", 0, 10)
			o.(Encoder).Encode(b)
			if err := o.Write(ctx, b); !errors.Is(err, context.Canceled) {
				t.Error("a cancelled write gives", err)
			}
			put(t, o, b)
			settle(t, o)
			if !e.blind { // a peer that hangs, and an owner that ends
				n.hang.Store(true)
				put(t, o, sample("a", 10, 10))
				ctx, cancel := context.WithTimeout(bg, 50*time.Millisecond)
				start := time.Now()
				if _, err := o.Flush(ctx); err == nil {
					t.Error("a flush to a peer that hangs says nothing")
				}
				cancel()
				if d := time.Since(start); d > 5*time.Second {
					t.Errorf("it ended %v after it should", d)
				}
				n.hang.Store(false)
				n.cutAll()
				settle(t, o)
				e.check(t, "a", 20)
			}
			must(t, o.Close())
		})
	}
}

// An output that is closed while its peer hangs does not wait for it.
func TestFarEndsClosedWhileHanging(t *testing.T) {
	for name, make := range farEnds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, n := make(t), new(network)
			o := e.open(t, n)
			put(t, o, sample("a", 0, 10))
			settle(t, o)
			n.hang.Store(true)
			b := sample("a", 10, 10)
			o.(Encoder).Encode(b)
			ctx, cancel := context.WithTimeout(bg, 50*time.Millisecond)
			defer cancel()
			_ = o.Write(ctx, b)
			_, _ = o.Flush(ctx)
			start := time.Now()
			must(t, ignoreClosed(o.Close()))
			if d := time.Since(start); d > 5*time.Second {
				t.Errorf("closing took %v", d)
			}
			n.cutAll()
		})
	}
}

// ignoreClosed leaves out what a broken connection says when it is closed.
func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
