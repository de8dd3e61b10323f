package peer

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// What was accepted is there after a kill and after a stop, at the same address.
func TestOTLP(t *testing.T) {
	for kind, send := range map[string]func(t *testing.T, addr string, q plogotlp.ExportRequest){"otlp": sendGRPC, "otlp http": sendHTTP} {
		t.Run(kind, func(t *testing.T) {
			p, err := New(kind, t.TempDir())
			must(t, err)
			defer p.Close()
			if !strings.Contains(p.Config(), p.(*otlp).addr) {
				t.Error(p.Config())
			}
			want := ""
			for _, end := range []func() error{p.Kill, p.Stop, p.Close} {
				must(t, p.Start())
				for range 3 {
					send(t, p.(*otlp).addr, logsOf("one", "two"))
					want += "one\ntwo\n"
				}
				if got := dumped(t, p); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
				must(t, end())
			}
		})
	}
}

// A line that a kill has cut was not accepted: it is gone.
func TestOTLPTornLine(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, otlpFile), []byte("one\ntw"), 0o644))
	p, err := New("otlp", dir)
	must(t, err)
	defer p.Close()
	must(t, p.Start())
	sendGRPC(t, p.(*otlp).addr, logsOf("three"))
	if got := dumped(t, p); got != "one\nthree\n" {
		t.Errorf("got %q", got)
	}
}

func logsOf(messages ...string) plogotlp.ExportRequest {
	logs := plog.NewLogs()
	records := logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for _, m := range messages {
		records.AppendEmpty().Body().SetStr(m)
	}
	return plogotlp.NewExportRequestFromLogs(logs)
}

func sendGRPC(t *testing.T, addr string, q plogotlp.ExportRequest) {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(t, err)
	defer conn.Close()
	_, err = plogotlp.NewGRPCClient(conn).Export(context.Background(), q)
	must(t, err)
}

func sendHTTP(t *testing.T, addr string, q plogotlp.ExportRequest) {
	t.Helper()
	body, err := q.MarshalProto()
	must(t, err)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Post("http://"+addr+"/v1/logs", "application/x-protobuf", bytes.NewReader(body))
	must(t, err)
	defer resp.Body.Close()
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", resp.Status, text)
	}
}
