package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/peer"
	"github.com/logcatchsys/logcatchsys/internal/traffic"
)

// An outputRow is a type of output, and what its far end promises.
type outputRow struct {
	kind   string // of its peer
	once   bool   // who reads there sees each line once
	gentle bool   // it does not acknowledge: what it was sent is lost when it is killed
}

// A new output is one line here.
var outputRows = []outputRow{
	{kind: "http"},
	{kind: "syslog", gentle: true},
	{kind: "elasticsearch", once: true},
	{kind: "nats", once: true},
	{kind: "nats cluster", once: true},
	{kind: "otlp"},
	{kind: "otlp http"},
	{kind: "kafka", once: true},
	{kind: "loki"},
}

// Each output over the network: two logs under rotation, its far end killed, and stopped
// for a while, the daemon killed three times. Beside it is an output that is down all the
// time.
func TestOutputs(t *testing.T) {
	t.Parallel()
	two := make(chan struct{}, 2) // at the same time
	for _, row := range outputRows {
		t.Run(row.kind, func(t *testing.T) {
			t.Parallel()
			two <- struct{}{}
			defer func() { <-two }()
			row.test(t)
		})
	}
}

func (row outputRow) test(t *testing.T) {
	outage := 2 * time.Second
	if *Long {
		outage = 30 * time.Second
	}
	far, dead := newPeer(t, row.kind), newPeer(t, "http")
	y := NewYard(t, delivering("500ms", map[string]string{"peer": far.Config(), "dead": dead.Config()})) // to the dead one nothing is ever delivered
	Must(t, far.Start())
	p := y.Start()
	addr := p.Ready()
	streams := y.flowBoth()
	Eventually(t, "the first lines", func() bool { return Figure(addr, "delivered_records_total", "peer", "a") > 0 })

	atRandom(time.Second)
	p = y.killed(p)
	if !row.gentle {
		atRandom(500 * time.Millisecond)
		Must(t, far.Kill())
		atRandom(500 * time.Millisecond)
		Must(t, far.Start())
	}
	atRandom(500 * time.Millisecond)
	Must(t, far.Stop())
	over := time.After(outage)
	atRandom(outage)
	p = y.killed(p)
	<-over
	Must(t, far.Start())
	atRandom(time.Second)
	p = y.killed(p)

	row.check(t, arrived(t, far, streams, Patience+outage), streams)
	checkLags(t, p.Started(), streams)
	p.Term()
}

// check counts what arrived. Lines may be repeated where the row allows it; what is not a
// repetition is in order all the same.
func (row outputRow) check(t *testing.T, r traffic.Report, streams []*Stream) {
	t.Helper()
	if row.once {
		Check(t, r)
	} else {
		Check(t, r, traffic.Repeated)
	}
	turns := int64(0)
	for _, s := range streams {
		turns += s.Stats.Rotations
	}
	t.Logf("%d lines, %d rotations; lost %d, repeated %d", r.Lines(), turns, r.Count(traffic.Lost), r.Count(traffic.Repeated))
}

// checkLags wants nothing to be left for the peer, and everything for the dead output.
func checkLags(t *testing.T, addr string, streams []*Stream) {
	t.Helper()
	for _, s := range streams {
		name := s.Stats.Source
		Eventually(t, "the lags of "+name, func() bool {
			return Figure(addr, "lag_bytes", "peer", name) == 0 && Figure(addr, "lag_bytes", "dead", name) == s.Stats.Bytes
		})
		if n := Figure(addr, "delivered_records_total", "dead", name); n != 0 {
			t.Errorf("%d records of %s were delivered to nobody", n, name)
		}
	}
}

// atRandom waits for a random moment: a crash or an outage comes at any.
func atRandom(within time.Duration) { time.Sleep(rand.N(within)) }

// newPeer makes a peer that is down.
func newPeer(t *testing.T, kind string) peer.Peer {
	t.Helper()
	p, err := peer.New(kind, t.TempDir())
	if errors.Is(err, peer.ErrMissing) {
		t.Skip(err)
	}
	Must(t, err)
	t.Cleanup(func() { Must(t, p.Close()) })
	return p
}

// forAll is a shutdown_timeout that is long enough to deliver everything, however busy the
// machine is.
const forAll = "1m"

// delivering is a configuration with the sources a and b and these outputs, by name.
func delivering(timeout string, outputs map[string]string) string {
	var b strings.Builder
	b.WriteString("configpath:\n  a: {path: ./a/log.txt, start: beginning}\n  b: {path: ./b/log.txt, start: beginning}\n" +
		"shutdown_timeout: " + timeout + "\noutputs:\n")
	for name, config := range outputs {
		fmt.Fprintf(&b, "  %s: %s\n", name, config)
	}
	return b.String()
}

// flowBoth writes to both sources: one is renamed, the other truncated, at random moments.
func (y *Yard) flowBoth() []*Stream {
	y.t.Helper()
	o := Traffic()
	o.Rate, o.Jitter, o.Seed = 2000, true, rand.Uint64()
	a := y.FlowWith("a", "a/log.txt", o)
	o.Rotate = traffic.CopyTruncate
	return []*Stream{a, y.FlowWith("b", "b/log.txt", o)}
}

// killed is the daemon after kill -9 and a start.
func (y *Yard) killed(p *Program) *Program {
	y.t.Helper()
	p.Kill()
	p = y.Start()
	p.Started()
	return p
}

// arrived stops the traffic, waits until all of it is at the peer, or nothing more has come
// for as long as patience lasts, and counts what is there.
func arrived(t *testing.T, far peer.Peer, streams []*Stream, patience time.Duration) traffic.Report {
	t.Helper()
	for _, s := range streams {
		s.Stop()
	}
	deadline, fewest := time.Now().Add(patience), uint64(math.MaxUint64)
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) { // a dump may be long
		var held bytes.Buffer
		Must(t, far.Dump(&held))
		r := Count(streams, &held)
		if r.Count(traffic.Lost) == 0 || time.Now().After(deadline) {
			return r
		}
		if n := r.Count(traffic.Lost); n < fewest { // three servers on a busy machine are slow
			deadline, fewest = time.Now().Add(patience), n
		}
		time.Sleep(pause)
	}
}

// An audience notes who comes to a peer over HTTP.
type audience struct {
	came chan struct{} // holds one if somebody came since it was looked at

	mu    sync.Mutex
	conns map[string]bool
	marks []string // the values of X-Mark, without repetitions
}

// audienceOf watches a peer of type http.
func audienceOf(far peer.Peer) *audience {
	a := &audience{came: make(chan struct{}, 1), conns: map[string]bool{}}
	far.(*peer.HTTP).SetFault(func(r *http.Request) (int, http.Header) {
		a.note(r.RemoteAddr, r.Header.Get("X-Mark"))
		return 0, nil
	})
	return a
}

func (a *audience) note(conn, mark string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.conns[conn] = true
	if n := len(a.marks); n == 0 || a.marks[n-1] != mark {
		a.marks = append(a.marks, mark)
	}
	select {
	case a.came <- struct{}{}:
	default:
	}
}

// seen is how many connections came so far, and the marks.
func (a *audience) seen() (conns int, marks string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.conns), strings.Join(a.marks, " ")
}

// wait waits for the next request.
func (a *audience) wait(t *testing.T) {
	t.Helper()
	select {
	case <-a.came:
	case <-time.After(Patience):
		t.Fatal("waited in vain for a request")
	}
}

// marked is the output of a peer with a header.
func marked(far peer.Peer, mark string) string {
	return strings.TrimSuffix(far.Config(), "}") + ", headers: {X-Mark: " + mark + "}}"
}

// An output that is changed goes on with its new settings at its own positions. The other
// one does not notice.
func TestOutputReload(t *testing.T) {
	t.Parallel()
	changed, same := newPeer(t, "http"), newPeer(t, "http")
	watched, other := audienceOf(changed), audienceOf(same)
	Must(t, changed.Start())
	Must(t, same.Start())
	// Cut off, a request that was accepted would come again, and be seen after the next ones.
	y := NewYard(t, delivering(forAll, map[string]string{"changed": marked(changed, "m0"), "same": same.Config()}))
	p := y.Start()
	p.Ready()
	streams := y.flowBoth()
	watched.wait(t)
	other.wait(t)
	before, _ := other.seen()
	const edits = 3
	want := "m0"
	for i := 1; i <= edits; i++ {
		mark := fmt.Sprintf("m%d", i)
		want += " " + mark
		y.Edit(delivering(forAll, map[string]string{"changed": marked(changed, mark), "same": same.Config()}))
		p.Edits(i)
		Eventually(t, "the new header", func() bool { _, marks := watched.seen(); return marks == want })
		streams[0].Lines(500)
	}
	for _, far := range []peer.Peer{changed, same} {
		Check(t, arrived(t, far, streams, Patience))
	}
	if after, _ := other.seen(); before != 1 || after != before {
		t.Errorf("the output that stayed the same had %d connections, then %d", before, after)
	}
	if n, marks := watched.seen(); n < 1+edits || marks != want {
		t.Errorf("the output that changed had %d connections, with %s", n, marks)
	}
	p.Term()
}

// A far end that comes and goes delays the lines by no more than it is away, and a little: the
// pauses between tries are twice as long each time.
func TestOutputToggled(t *testing.T) {
	t.Parallel()
	far := newPeer(t, "http")
	watched := audienceOf(far)
	y := NewYard(t, delivering(forAll, map[string]string{"peer": far.Config()}))
	Must(t, far.Start())
	p := y.Start()
	addr := p.Ready()
	streams := y.flowBoth()
	watched.wait(t)
	var longest, over time.Duration
	for i := range 30 {
		down := far.Stop
		if i%2 == 0 {
			down = far.Kill
		}
		away, back := watched.toggle(t, far, down)
		longest, over = max(longest, back), max(over, back-2*away)
	}
	if over > 2*time.Second {
		t.Errorf("the output came back %s after its far end, at most; once %s later than in twice the time that it was away", longest, over)
	}
	r := arrived(t, far, streams, Patience)
	outputRow{}.check(t, r, streams)
	retries := Metric(addr, `logcatchsys_retries_total{output="peer"}`)
	if n, err := strconv.Atoi(retries); err != nil || n < 5 {
		t.Errorf("%q retries: it was hardly ever missed", retries)
	}
	t.Logf("%s retries, back after %s at most", retries, longest)
	p.Term()
}

// toggle takes a peer down and up, and says how long it was away, and then how long it took
// until somebody came again.
// What is at random is about as long as the time between two requests (100 ms).
func (a *audience) toggle(t *testing.T, far peer.Peer, down func() error) (away, back time.Duration) {
	t.Helper()
	atRandom(150 * time.Millisecond)
	gone := time.Now()
	Must(t, down())
	select { // who came before
	case <-a.came:
	default:
	}
	atRandom(150 * time.Millisecond)
	Must(t, far.Start())
	up := time.Now()
	a.wait(t)
	return up.Sub(gone), time.Since(up)
}
