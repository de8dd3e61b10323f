package output

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const otlpMethod = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"

// otlpGRPC is the client of OTLP over gRPC.
//
// The library's own ways to go on after a failure are not used: a connection that failed
// is given up, and the next try makes a new one, so that the pump's pauses are the only
// ones and each failure is said. There are no keepalive pings either, for which
// servers close connections: who does not answer in time is left.
type otlpGRPC struct {
	spec    Spec
	env     Env
	tls     *tls.Config // nil: plaintext
	headers metadata.MD
	link    *otlpLink // nil: none
}

func newOTLPgRPC(spec Spec, env Env) (*otlpGRPC, error) {
	g := &otlpGRPC{spec: spec, env: env, headers: metadata.MD{}}
	if _, _, err := net.SplitHostPort(spec.Endpoint); err != nil {
		return nil, fmt.Errorf("endpoint: host:port is needed: %w", err)
	}
	if c := spec.Compression; c != "" && c != "none" && c != "gzip" && c != "zstd" {
		return nil, fmt.Errorf("unknown compression %q: one of gzip, zstd, none", c)
	}
	if spec.TLS.Set {
		var err error
		if g.tls, err = newTLS(spec.TLS); err != nil {
			return nil, err
		}
	}
	for _, h := range spec.Headers {
		value := h.Value.Reveal()
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
			return nil, fmt.Errorf("headers: the value of %s is not printable ASCII", h.Name)
		}
		g.headers.Append(strings.ToLower(h.Name), value)
	}
	return g, nil
}

func (g *otlpGRPC) export(ctx context.Context, body []byte) (otlpPartial, error) {
	if g.link == nil {
		var err error
		if g.link, err = newOTLPLink(g.spec.Endpoint, g.tls, g.env.Dial); err != nil {
			return otlpPartial{}, fmt.Errorf("endpoint %s: %w", g.spec.Endpoint, err)
		}
	}
	var options []grpc.CallOption
	if c := g.spec.Compression; c != "" && c != "none" {
		options = append(options, grpc.UseCompressor(c))
	}
	var answer []byte
	err := g.link.conn.Invoke(metadata.NewOutgoingContext(ctx, g.headers), otlpMethod, body, &answer, options...)
	if err == nil {
		return readOTLPAnswer(g.spec, answer)
	}
	return otlpPartial{}, g.failure(ctx, status.Convert(err))
}

// failure is what becomes of a call without an answer, or with one that is not OK.
func (g *otlpGRPC) failure(ctx context.Context, s *status.Status) error {
	if end, ok := ctx.Deadline(); ok && s.Code() == codes.DeadlineExceeded && time.Until(end) < time.Second {
		<-ctx.Done() // the far end knows our deadline: its clock was a little faster
	}
	_, cause := g.link.noted()
	if ctx.Err() != nil || g.link.conn.GetState() != connectivity.Ready {
		g.close()
	}
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", g.spec.Endpoint, explained(ctx.Err()))
	case s.Code() == codes.Unavailable && strings.Contains(s.Message(), "server preface"):
		hint := "is the port right?"
		if g.tls == nil {
			hint = "is the port right, and does it want a tls block?"
		}
		return fmt.Errorf("%s: the other end does not begin to speak gRPC; %s", g.spec.Endpoint, hint)
	case s.Code() != codes.Unavailable || cause == nil:
		return g.verdict(s)
	}
	return fmt.Errorf("%s: %w", g.spec.Endpoint, explained(cause))
}

func (g *otlpGRPC) close() {
	if g.link != nil {
		g.link.close()
		g.link = nil
	}
}

// verdict is what a status that is not OK means for the request.
func (g *otlpGRPC) verdict(s *status.Status) error {
	said := otlpText(g.spec, s.Message())
	err := fmt.Errorf("%s answers %s: %s", g.spec.Endpoint, s.Code(), said)
	for _, d := range s.Proto().GetDetails() {
		if after, bad := parseRetryInfo(d.GetValue()); strings.HasSuffix(d.GetTypeUrl(), "/google.rpc.RetryInfo") && bad == nil {
			return &BusyError{after, err}
		}
	}
	switch s.Code() {
	case codes.InvalidArgument:
		return &refusal{refused, err.Error()}
	case codes.ResourceExhausted, codes.OutOfRange:
		if isOversize(said) {
			return &refusal{tooLarge, err.Error()}
		}
	case codes.Internal, codes.Unknown, codes.FailedPrecondition, codes.AlreadyExists:
		return &otlpDoubt{err}
	case codes.Unauthenticated, codes.PermissionDenied:
		return fmt.Errorf("%w: it does not accept the credentials", err)
	case codes.Unimplemented, codes.NotFound:
		return fmt.Errorf("%w: does it take logs by OTLP over gRPC, and this compression?", err)
	}
	return err
}

// isOversize reports whether an error is about the size of a message: the words of the
// implementations in Go and C++, Java, and Rust. There is no code for it.
func isOversize(said string) bool {
	said = strings.ToLower(said)
	for _, words := range []string{"larger than max", "exceeds maximum size", "message length too large"} {
		if strings.Contains(said, words) {
			return true
		}
	}
	return false
}

// otlpCodec passes encoded messages through.
type otlpCodec struct{}

// Marshal copies the message: the library may hold it for longer than the call.
func (otlpCodec) Marshal(v any) (mem.BufferSlice, error) {
	body, ok := v.([]byte)
	if !ok {
		return nil, fmt.Errorf("a message of type %T", v)
	}
	return mem.BufferSlice{mem.Copy(body, mem.DefaultBufferPool())}, nil
}

func (otlpCodec) Unmarshal(data mem.BufferSlice, v any) error {
	body, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("a message of type %T", v)
	}
	*body = data.Materialize()
	return nil
}

func (otlpCodec) Name() string { return "proto" }
