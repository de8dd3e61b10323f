package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/logcatchsys/logcatchsys/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// many is more than one round of the cargo, and ends within a body.
const many = 2*different + 17

func sent(t *testing.T, args ...string) {
	t.Helper()
	var stderr strings.Builder
	if code := run(append([]string{"-lines", fmt.Sprint(many), "-line", "100", "-file", "/x/app.log"}, args...), &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
}

// isRecord says what is wrong with the json of a record.
func isRecord(text []byte) error {
	var r struct{ Host, Source, File, Message string }
	if err := json.Unmarshal(text, &r); err != nil {
		return err
	}
	if r.Host == "" || r.Source != "bench" || r.File != "/x/app.log" || len(r.Message) != 99 {
		return fmt.Errorf("not as the collector makes it: %s", text)
	}
	return nil
}

// httpServer keeps what it is sent, as it came and unpacked.
type httpServer struct {
	bodies []int
	text   bytes.Buffer
	status int
}

func (s *httpServer) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body := io.Reader(q.Body)
	if q.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = z
	}
	n, err := s.text.ReadFrom(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.bodies = append(s.bodies, int(n))
	w.WriteHeader(s.status)
}

func TestHTTP(t *testing.T) {
	for _, compression := range []string{"none", "gzip"} {
		s := &httpServer{status: http.StatusOK}
		server := httptest.NewServer(s)
		sent(t, "-compression", compression, "http", server.Listener.Addr().String())
		http.DefaultClient.CloseIdleConnections()
		server.Close()
		lines := bytes.SplitAfter(s.text.Bytes(), []byte("\n"))
		if len(lines) != many+1 || len(lines[many]) > 0 {
			t.Fatalf("%s: %d lines", compression, len(lines)-1)
		}
		for _, line := range lines[:many] {
			must(t, isRecord(line))
		}
		for _, size := range s.bodies {
			if size > requestBytes {
				t.Errorf("%s: a body of %d bytes", compression, size)
			}
		}
	}
}

func TestHTTPRefused(t *testing.T) {
	server := httptest.NewServer(&httpServer{status: http.StatusServiceUnavailable})
	defer server.Close()
	defer http.DefaultClient.CloseIdleConnections()
	var stderr strings.Builder
	if code := run([]string{"http", server.Listener.Addr().String()}, &stderr); code != 1 || !strings.Contains(stderr.String(), "503") {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
}

func TestWrongUsage(t *testing.T) {
	for _, args := range [][]string{{}, {"http"}, {"ftp", "127.0.0.1:1"}, {"-lines", "x", "http", "127.0.0.1:1"}, {"http", "a", "b"}} {
		var stderr strings.Builder
		if code := run(args, &stderr); code != 2 || stderr.Len() == 0 {
			t.Errorf("%q: exit code %d, %q", args, code, stderr.String())
		}
	}
}
