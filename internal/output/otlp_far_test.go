package output

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/logcatchsys/logcatchsys/logconfig"
)

// An otlpFar is a far end that keeps what it is sent.
type otlpFar struct {
	spec Spec // protocol and endpoint

	mu      sync.Mutex
	logs    []plog.Logs
	headers map[string][]string           // of the last request
	refuse  func(messages []string) error // nil: nothing

	plogotlp.UnimplementedGRPCServer
	answer plogotlp.ExportResponse
}

func newOTLPFar(protocol string) *otlpFar {
	return &otlpFar{spec: Spec{Type: "otlp", Protocol: protocol}, answer: plogotlp.NewExportResponse()}
}

func (f *otlpFar) keep(_ context.Context, logs plog.Logs) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse != nil {
		if err := f.refuse(bodiesOf(logs, "")); err != nil {
			return err
		}
	}
	if logs.LogRecordCount() == 0 {
		return nil
	}
	copied := plog.NewLogs()
	logs.CopyTo(copied)
	f.logs = append(f.logs, copied)
	return nil
}

func (f *otlpFar) setRefuse(refuse func(messages []string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refuse = refuse
}

// messages are those of a source, "" for all.
func (f *otlpFar) messages(source string) (all []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, logs := range f.logs {
		all = append(all, bodiesOf(logs, source)...)
	}
	return all
}

func bodiesOf(logs plog.Logs, source string) (all []string) {
	for _, r := range logs.ResourceLogs().All() {
		name, _ := r.Resource().Attributes().Get("logcatchsys.source")
		for _, s := range r.ScopeLogs().All() {
			for _, l := range s.LogRecords().All() {
				if source == "" || name.Str() == source {
					all = append(all, l.Body().Str())
				}
			}
		}
	}
	return all
}

func recordsOf(logs plog.Logs) (all []plog.LogRecord) {
	for _, r := range logs.ResourceLogs().All() {
		for _, s := range r.ScopeLogs().All() {
			for _, l := range s.LogRecords().All() {
				all = append(all, l)
			}
		}
	}
	return all
}

// otlpCollector is a far end that is the OpenTelemetry Collector's own receiver.
func otlpCollector(t testing.TB, protocol string) *otlpFar {
	f := newOTLPFar(protocol)
	next, err := consumer.NewLogs(f.keep)
	must(t, err)
	factory := otlpreceiver.NewFactory()
	var r component.Component
	for range 10 { // another one may take the port
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		f.spec.Endpoint = l.Addr().String()
		must(t, l.Close())
		c := factory.CreateDefaultConfig().(*otlpreceiver.Config)
		if protocol == "grpc" {
			c.Protocols.GRPC.GetOrInsertDefault().NetAddr.Endpoint = f.spec.Endpoint
		} else {
			c.Protocols.HTTP.GetOrInsertDefault().ServerConfig.NetAddr.Endpoint = f.spec.Endpoint
		}
		r, err = factory.CreateLogs(bg, receivertest.NewNopSettings(factory.Type()), c, next)
		must(t, err)
		if err = r.Start(bg, componenttest.NewNopHost()); err == nil {
			break
		}
	}
	must(t, err)
	t.Cleanup(func() { must(t, r.Shutdown(bg)) })
	if protocol == "http" {
		f.spec.Endpoint = "http://" + f.spec.Endpoint
	}
	return f
}

// Export and ServeHTTP are of a far end that gives what answers the test wants.
func (f *otlpFar) Export(ctx context.Context, q plogotlp.ExportRequest) (plogotlp.ExportResponse, error) {
	headers, _ := metadata.FromIncomingContext(ctx)
	f.mu.Lock()
	f.headers = headers
	f.mu.Unlock()
	return f.answer, f.keep(ctx, q.Logs())
}

func (f *otlpFar) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := decompressed(q)
	r := plogotlp.NewExportRequest()
	if err != nil || r.UnmarshalProto([]byte(body)) != nil || q.URL.Path != "/v1/logs" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	f.mu.Lock()
	f.headers = q.Header
	f.mu.Unlock()
	w.Header().Set("Content-Type", "application/x-protobuf")
	if err := f.keep(q.Context(), r.Logs()); err != nil {
		s := status.Convert(err)
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(map[codes.Code]int{
			codes.InvalidArgument: 400, codes.Unauthenticated: 401, codes.PermissionDenied: 403, codes.NotFound: 404,
			codes.ResourceExhausted: 429, codes.Internal: 500,
		}[s.Code()])
		text, _ := proto.Marshal(s.Proto())
		w.Write(text)
		return
	}
	text, _ := f.answer.MarshalProto()
	w.Write(text)
}

// otlpFake starts such a far end; no secure: in plain text.
func otlpFake(t testing.TB, protocol string, secure *tls.Config) *otlpFar {
	f := newOTLPFar(protocol)
	if protocol == "http" {
		s := httptest.NewUnstartedServer(f)
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		if s.TLS = secure; secure != nil {
			s.StartTLS()
		} else {
			s.Start()
		}
		t.Cleanup(s.Close)
		f.spec.Endpoint = s.URL
		return f
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var options []grpc.ServerOption
	if secure != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(secure)))
	}
	s := grpc.NewServer(options...)
	plogotlp.RegisterGRPCServer(s, f)
	ended := make(chan error)
	go func() { ended <- s.Serve(l) }()
	t.Cleanup(func() { s.Stop(); must(t, <-ended) })
	f.spec.Endpoint = l.Addr().String()
	return f
}

func otlpFarEnd(protocol, compression string) func(t *testing.T) farEnd {
	return func(t *testing.T) farEnd {
		f := otlpCollector(t, protocol)
		f.spec.Compression = compression
		return farEnd{spec: f.spec, got: f.messages}
	}
}

// opened is an output to f; dead is the path of its dead letter.
func (f *otlpFar) opened(t testing.TB, change func(*Spec), env Env) (o Output, dead string) {
	spec := f.spec
	spec.Name, spec.Timeout, spec.DeadLetter = "sink", time.Minute, t.TempDir()+"/dead.jsonl"
	spec.Batch = logconfig.Batch{Bytes: 1 << 20, Records: 1000}
	if change != nil {
		change(&spec)
	}
	env.Host = "h1"
	if env.Log == nil {
		env.Log = quiet()
	}
	env.Note = func([]byte) error { return nil }
	o, err := Open(spec, env)
	must(t, err)
	t.Cleanup(func() { o.Close() })
	return o, spec.DeadLetter
}

// bothOTLP runs a test over both protocols.
func bothOTLP(t *testing.T, test func(t *testing.T, protocol string)) {
	for _, protocol := range []string{"grpc", "http"} {
		t.Run(protocol, func(t *testing.T) { test(t, protocol) })
	}
}
