package output

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/record"
)

// The syslog output sends each record as a message of RFC 5424: over TCP with octet
// counting (RFC 6587, 3.4.1), over TLS (RFC 5425), or over UDP (RFC 5426).

// syslogMost is the longest message that is sent, in bytes: what rsyslog takes unless
// it is told otherwise; it cuts longer ones. RFC 5425 wants a receiver to take 2,048,
// and recommends 8,192.
const syslogMost = 8096

// syslogLine is the longest line that fits into one with all that stands before it;
// syslogJSONLine is that of a line with many characters to be escaped as JSON.
const (
	syslogLine     = 7 << 10
	syslogJSONLine = 3 << 10
)

func syslogMaxLine(spec Spec) int {
	if spec.Format == "json" {
		return syslogJSONLine
	}
	return syslogLine
}

func openSyslog(spec Spec, env Env) (Output, error) {
	to, err := newSyslogTarget(spec, env)
	if err != nil {
		return nil, err
	}
	encoder, err := newSyslogEncoder(spec, env.Host, to.network != "udp")
	if err != nil {
		return nil, err
	}
	dead, err := newDeadLetter(spec, env)
	if err != nil {
		return nil, err
	}
	sieve := syslogSieve{dead: dead, most: encoder.most()}
	if to.network == "udp" {
		return &syslogUDP{syslogEncoder: encoder, syslogSieve: sieve, to: to}, nil
	}
	return newSyslogStream(spec, env, to, encoder, sieve), nil
}

// A syslogTarget is where a syslog output sends to.
type syslogTarget struct {
	url              string // as it stands in the configuration
	network, address string // network is tcp or udp
	tls              *tls.Config
	timeout          time.Duration
	dial             func(ctx context.Context, network, address string) (net.Conn, error)
}

func newSyslogTarget(spec Spec, env Env) (*syslogTarget, error) {
	scheme, address, _ := strings.Cut(spec.Address, "://")
	host, _, err := net.SplitHostPort(address)
	if err != nil || !slices.Contains([]string{"tcp", "tls", "udp"}, scheme) {
		return nil, fmt.Errorf("address: %q: tcp://host:port, tls://host:port or udp://host:port is needed", spec.Address)
	}
	t := &syslogTarget{url: spec.Address, network: scheme, address: address, timeout: spec.Timeout, dial: env.Dial}
	if scheme != "tls" {
		return t, nil
	}
	t.network = "tcp"
	if t.tls, err = newTLS(spec.TLS); err != nil {
		return nil, err
	}
	if t.tls.ServerName == "" {
		t.tls.ServerName = host
	}
	return t, nil
}

// connect gives a connection, and what is below its TLS, if there is any.
func (t *syslogTarget) connect(ctx context.Context) (conn, raw net.Conn, err error) {
	if t.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, t.timeout)
		defer cancel()
	}
	if raw, err = t.dial(ctx, t.network, t.address); err != nil {
		return nil, nil, t.failed(err)
	}
	if t.tls == nil {
		return raw, raw, nil
	}
	secure := tls.Client(raw, t.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, nil, t.failed(err)
	}
	return secure, raw, nil
}

// failed is err with the cause in words, and where it was.
func (t *syslogTarget) failed(err error) error { return fmt.Errorf("%s: %w", t.url, explained(err)) }

// ended is why l, which is broken, is. A receiver that wants TLS closes without a word.
func (t *syslogTarget) ended(l *syslogLink) error {
	err := t.failed(l.err)
	closed := errors.Is(l.err, io.EOF) || errors.Is(l.err, syscall.ECONNRESET) || errors.Is(l.err, syscall.EPIPE)
	if closed && t.tls == nil && l.lived() <= syslogProbation {
		return fmt.Errorf("%w at once: if it wants TLS, write tls://%s", err, t.address)
	}
	return err
}

// A syslogSieve gives records that no receiver would take whole to the dead letter.
type syslogSieve struct {
	dead *deadLetter
	most int // bytes of an encoded record

	seen int // records of the batch in hand that were looked at
}

// sift looks at b. After an error it goes on where it stopped;
// sifted ends it.
func (s *syslogSieve) sift(ctx context.Context, b *record.Batch) error {
	for ; s.seen < len(b.Spans); s.seen++ {
		size := spanSize(b, s.seen)
		if size <= s.most {
			continue
		}
		reason := fmt.Sprintf("%d bytes as a syslog message, of which %d are taken", size, syslogMost)
		if err := s.dead.put(ctx, b, s.seen, tooLarge, reason); err != nil {
			return err
		}
	}
	return nil
}

func (s *syslogSieve) sifted() { s.seen = 0 }

// runs gives take the encoded records of b that are not too large, in runs of at most so
// many bytes.
func (s *syslogSieve) runs(b *record.Batch, most int, take func(run []byte)) {
	from, at := 0, 0
	for _, span := range b.Spans {
		misfit := span.End-at > s.most
		if at > from && (misfit || span.End-from > most) {
			take(b.Out[from:at])
			from = at
		}
		if misfit {
			from = span.End
		}
		at = span.End
	}
	if at > from {
		take(b.Out[from:at])
	}
}

// spanSize is the length of the encoded record number i of b.
func spanSize(b *record.Batch, i int) int {
	if i == 0 {
		return b.Spans[0].End
	}
	return b.Spans[i].End - b.Spans[i-1].End
}

// probeSyslog connects and, where the receiver might turn us away after that, as one
// does that wants a certificate, looks for a moment whether it does. Over UDP only the
// name is looked up: nothing else can be known without a record.
func probeSyslog(ctx context.Context, spec Spec, env Env, _ []*record.Batch) error {
	to, err := newSyslogTarget(spec, env)
	if err != nil {
		return err
	}
	conn, raw, err := to.connect(ctx)
	if err != nil {
		return err
	}
	if to.network == "udp" {
		return conn.Close()
	}
	l := newSyslogLink(conn, raw)
	defer l.close()
	patience := time.NewTimer(syslogProbation)
	defer patience.Stop()
	select {
	case <-l.broken:
		return to.ended(l)
	case <-patience.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
