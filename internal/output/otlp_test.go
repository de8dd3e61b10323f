package output

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/logcatchsys/logcatchsys/internal/record"
	"github.com/logcatchsys/logcatchsys/logconfig"
)

func TestOTLPRecord(t *testing.T) {
	bothOTLP(t, func(t *testing.T, protocol string) {
		f := otlpCollector(t, protocol)
		o, _ := f.opened(t, nil, Env{})
		b := sample("web", 0, 2)
		b.Labels = `{"env":"prod","service.name":"shop"}`
		put(t, o, b)
		long := sample("web", 2, 1)
		long.Data = []byte("\xffpiece\xfe\xfe€\n")
		long.Partial = &record.Partial{Piece: 3, Last: true}
		put(t, o, long)
		settle(t, o)
		all := f.logs[0].ResourceLogs()
		if all.Len() != 2 {
			t.Fatalf("%d resources", all.Len())
		}
		compareAttributes(t, "resource", all.At(0).Resource().Attributes().AsRaw(), map[string]any{
			"service.name": "shop", "host.name": "h1", "logcatchsys.source": "web", "env": "prod",
		})
		compareAttributes(t, "resource", all.At(1).Resource().Attributes().AsRaw(), map[string]any{
			"service.name": "web", "host.name": "h1", "logcatchsys.source": "web", "env": "test",
		})
		scope := all.At(0).ScopeLogs().At(0)
		if scope.Scope().Name() != "logcatchsys" || scope.Scope().Version() == "" || scope.LogRecords().Len() != 2 {
			t.Errorf("scope %v, %d records", scope.Scope(), scope.LogRecords().Len())
		}
		second := scope.LogRecords().At(1)
		compareAttributes(t, "record", second.Attributes().AsRaw(), map[string]any{
			"log.file.path": "/var/log/web.log", "log.file.name": "web.log", "log.offset": int64(13), "log.record.uid": "gen-web:13",
		})
		if second.Timestamp() != 0 || !second.ObservedTimestamp().AsTime().Equal(hour) || second.SeverityNumber() != 0 || second.Body().Str() != "web 00000001" {
			t.Errorf("times %v and %v, severity %v, body %q", second.Timestamp(), second.ObservedTimestamp(), second.SeverityNumber(), second.Body().Str())
		}
		third := all.At(1).ScopeLogs().At(0).LogRecords().At(0)
		if want := "\uFFFDpiece\uFFFD\uFFFD€"; third.Body().Str() != want {
			t.Errorf("body %q, want %q", third.Body().Str(), want)
		}
		piece, _ := third.Attributes().Get("logcatchsys.partial.piece")
		last, _ := third.Attributes().Get("logcatchsys.partial.last")
		if piece.Int() != 3 || !last.Bool() {
			t.Errorf("attributes %v", third.Attributes().AsRaw())
		}
	})
}

func compareAttributes(t *testing.T, what string, got, want map[string]any) {
	t.Helper()
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s: %s is %v, want %v", what, k, got[k], v)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestOTLPFormats(t *testing.T) {
	for format, want := range map[string]string{"raw": "web 00000000", "text": "web: web 00000000", "json": `{"timestamp":"2026-`} {
		f := otlpCollector(t, "grpc")
		o, _ := f.opened(t, func(s *Spec) { s.Format = format }, Env{})
		put(t, o, sample("web", 0, 1))
		settle(t, o)
		if got := f.messages("web"); len(got) != 1 || !strings.HasPrefix(got[0], want) || strings.HasSuffix(got[0], "\n") {
			t.Errorf("%s: %q", format, got)
		}
	}
}

func TestOTLPHeaders(t *testing.T) {
	bothOTLP(t, func(t *testing.T, protocol string) {
		for _, compression := range []string{"none", "gzip", "zstd"} {
			f := otlpFake(t, protocol, nil)
			o, _ := f.opened(t, func(s *Spec) {
				s.Compression = compression
				s.Headers = []logconfig.Header{{Name: "X-Team", Value: "blue"}, {Name: "Authorization", Value: "Bearer t"}}
			}, Env{})
			put(t, o, sample("a", 0, 3))
			settle(t, o)
			for name, want := range map[string]string{"x-team": "blue", "authorization": "Bearer t", "user-agent": "logcatchsys"} {
				got := f.headers[name]
				if protocol == "http" {
					got = f.headers[http.CanonicalHeaderKey(name)]
				}
				if len(got) != 1 || !strings.HasPrefix(got[0], want) {
					t.Errorf("%s: %v", name, got)
				}
			}
		}
	})
}

func TestOTLPOpenErrors(t *testing.T) {
	for want, spec := range map[string]Spec{
		"unknown protocol":    {Protocol: "udp", Endpoint: "h:1"},
		"host:port is needed": {Protocol: "grpc", Endpoint: "http"},
		"unknown compression": {Protocol: "grpc", Endpoint: "h:1", Compression: "lz4"},
		"unknown format":      {Protocol: "grpc", Endpoint: "h:1", Format: "xml"},
		"not printable":       {Protocol: "grpc", Endpoint: "h:1", Headers: []logconfig.Header{{Name: "X", Value: "p4ss\n"}}},
		"tls.ca":              {Protocol: "grpc", Endpoint: "h:1", TLS: logconfig.TLS{Set: true, CA: "/no/such/file"}},
		"braces":              {Protocol: "grpc", Endpoint: "h:1", DeadLetter: "{x}"},
	} {
		spec.Type = "otlp"
		_, err := Open(spec, Env{Log: quiet()})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "p4ss") {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestProbeOTLP(t *testing.T) {
	bothOTLP(t, func(t *testing.T, protocol string) {
		for _, compression := range []string{"none", "gzip", "zstd"} {
			f := otlpCollector(t, protocol)
			f.spec.Compression = compression
			must(t, Probe(bg, f.spec, Env{}, nil))
			if len(f.logs) != 0 {
				t.Error("the probe has sent records")
			}
		}
		f := otlpFake(t, protocol, nil)
		f.setRefuse(func([]string) error { return status.Error(codes.Unauthenticated, "who are you?") })
		if err := Probe(bg, f.spec, Env{}, nil); err == nil || !strings.Contains(err.Error(), "credentials") {
			t.Error("credentials that are not accepted:", err)
		}
		for endpoint, want := range map[string]string{"127.0.0.1:1": "refused by 127.0.0.1:1", "no-such-host.invalid:1": "DNS"} {
			if protocol == "http" {
				endpoint = "http://" + endpoint
			}
			err := Probe(bg, Spec{Type: "otlp", Protocol: protocol, Endpoint: endpoint, Timeout: 5 * time.Second}, Env{}, nil)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %q", err, want)
			}
		}
	})
}

// A far end that answers, but is not what it should be.
func TestOTLPWrongFarEnd(t *testing.T) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>welcome</html>") }))
	defer page.Close()
	garbage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-protobuf")
		io.WriteString(w, "\xff")
	}))
	defer garbage.Close()
	secure := otlpFake(t, "grpc", otlpCert(t, otlpCertificate{}).server)
	plain := otlpCollector(t, "grpc")
	for _, c := range []struct {
		spec Spec
		want string
	}{
		{Spec{Protocol: "http", Endpoint: page.URL}, "web page"},
		{Spec{Protocol: "http", Endpoint: garbage.URL}, "not understood"},
		{Spec{Protocol: "grpc", Endpoint: strings.TrimPrefix(page.URL, "http://")}, "does not begin to speak gRPC"},
		{Spec{Protocol: "grpc", Endpoint: secure.spec.Endpoint}, "tls block"},
		{Spec{Protocol: "grpc", Endpoint: plain.spec.Endpoint, TLS: logconfig.TLS{Set: true}}, "does not speak TLS"},
	} {
		c.spec.Type, c.spec.Timeout = "otlp", 5*time.Second
		if err := Probe(bg, c.spec, Env{}, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}
