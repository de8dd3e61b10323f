package status

import (
	"bufio"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/logcatchsys/logcatchsys/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

func (m *Metrics) ask(path string) (int, string) {
	w := httptest.NewRecorder()
	m.handler(slog.NewLogLogger(slog.DiscardHandler, 0)).ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w.Code, w.Body.String()
}

// value is that of the first metric with the name and labels, as text.
func (m *Metrics) value(series string) string {
	_, body := m.ask("/metrics")
	for s := bufio.NewScanner(strings.NewReader(body)); s.Scan(); {
		if v, ok := strings.CutPrefix(s.Text(), "logcatchsys_"+series+" "); ok {
			return v
		}
	}
	return ""
}

func TestFigures(t *testing.T) {
	m := New()
	since := time.Now().Add(-time.Hour)
	a := m.Tail(Key{"a", "out"})
	a.Started(func() Stats {
		return Stats{Ready: true, LagBytes: 7, LagSince: since, OpenFiles: 2, Pending: 3, Held: 4}
	})
	a.Read(100, 10)
	a.Read(1, 1)
	a.Restarted()
	a.Abandoned("gone", 30)
	a.Abandoned("gone", 3)
	a.Abandoned("truncated", 5)
	m.Output("out").Delivered("a", 60, 6)
	m.Output("out").Delivered("unknown", 60, 6)
	m.Output("out").Retry()
	m.Output("out").Works(false)
	m.Output("out").Dropped("a", "refused", 2)
	m.Output("out").Dropped("unknown", "refused", 2)
	m.Output("out").Delivered("a", 0, 3)
	for series, want := range map[string]string{
		`read_bytes_total{output="out",source="a"}`:                         "101",
		`read_records_total{output="out",source="a"}`:                       "11",
		`delivered_bytes_total{output="out",source="a"}`:                    "60",
		`delivered_records_total{output="out",source="a"}`:                  "7",
		`dropped_records_total{output="out",reason="refused",source="a"}`:   "2",
		`tailer_restarts_total{output="out",source="a"}`:                    "1",
		`lag_bytes{output="out",source="a"}`:                                "7",
		`open_files{output="out",source="a"}`:                               "2",
		`pending_generations{output="out",source="a"}`:                      "3",
		`held_deleted_bytes{output="out",source="a"}`:                       "4",
		`abandoned_bytes_total{output="out",reason="gone",source="a"}`:      "33",
		`abandoned_bytes_total{output="out",reason="truncated",source="a"}`: "5",
		`output_up{output="out"}`:                                           "0",
		`retries_total{output="out"}`:                                       "1",
	} {
		if got := m.value(series); got != want {
			t.Errorf("%s is %q, want %s", series, got, want)
		}
	}
	text := m.value(`lag_seconds{output="out",source="a"}`)
	if lag, err := strconv.ParseFloat(text, 64); err != nil || lag < 3600 || lag > time.Since(since).Seconds() {
		t.Errorf("lag_seconds is %s", text)
	}
	if bytes, records := a.Underway(); bytes != 41 || records != 2 {
		t.Errorf("%d bytes, %d records under way", bytes, records)
	}
	a.Rewound()
	if bytes, records := a.Underway(); bytes != 0 || records != 0 {
		t.Errorf("%d bytes, %d records under way after Rewound", bytes, records)
	}
	if bytes, records := a.Delivered(); bytes != 60 || records != 7 {
		t.Errorf("%d bytes, %d records delivered", bytes, records)
	}
}

// What appears with the first loss only cannot be alerted on.
func TestAbandonedShowsBeforeTheFirst(t *testing.T) {
	m := New()
	m.Tail(Key{"a", "out"}).Abandoned("gone", 1)
	m.Tail(Key{"b", "out"})
	for _, reason := range []string{"gone", "truncated", "max_deleted"} {
		if got := m.value(`abandoned_bytes_total{output="out",reason="` + reason + `",source="b"}`); got != "0" {
			t.Errorf("%s: %q", reason, got)
		}
	}
}

func TestRemovedIsNotShown(t *testing.T) {
	m := New()
	k := Key{"a", "out"}
	before := m.Tail(k)
	before.Read(1, 1)
	if m.Tail(k) != before {
		t.Error("the figures were begun anew")
	}
	m.Output("out").Retry()
	m.Remove(k)
	m.RemoveOutput("out")
	before.Read(1, 1) // late, and harmless
	if _, body := m.ask("/metrics"); strings.Contains(body, `output="out"`) {
		t.Error("still shown")
	}
}

// Lines that were on their way when a source was removed and added again are not taken
// from what is on its way now.
func TestAddedAgainWithLinesUnderWay(t *testing.T) {
	m := New()
	k := Key{"a", "f"}
	m.Tail(k).Read(30, 3)
	m.Remove(k)
	m.Tail(k)
	m.Output("f").Delivered("a", 30, 3)
	m.Tail(k).Read(10, 1)
	if bytes, records := m.Tail(k).Underway(); bytes != 10 || records != 1 {
		t.Errorf("%d bytes, %d records are on their way", bytes, records)
	}
}

func TestReloads(t *testing.T) {
	m := New()
	const gauge, at = "config_last_reload_successful", "config_last_reload_success_timestamp_seconds"
	if m.value(gauge) != "0" || m.value(at) != "0" {
		t.Errorf("before any: %s, %s", m.value(gauge), m.value(at))
	}
	m.Loaded()
	if m.value(gauge) != "1" || !strings.Contains(m.value(at), "e+09") || m.value(`config_reloads_total{result="taken"}`) != "0" {
		t.Errorf("loaded: %s, %s", m.value(gauge), m.value(at))
	}
	m.Reloaded(true)
	m.Reloaded(false)
	if m.value(gauge) != "0" || m.value(`config_reloads_total{result="taken"}`) != "1" || m.value(`config_reloads_total{result="failed"}`) != "1" {
		t.Errorf("reloaded: %s", m.value(gauge))
	}
}

func TestReadyz(t *testing.T) {
	m := New()
	if code, _ := m.ask("/readyz"); code != 200 {
		t.Errorf("without sources: %d", code)
	}
	b, a := m.Tail(Key{"b", "out"}), m.Tail(Key{"a", "out"})
	a.Started(func() Stats { return Stats{} })
	want := "source a, output out: is being looked at for the first time\nsource b, output out: has not started yet\n"
	if code, body := m.ask("/readyz"); code != 503 || body != want {
		t.Errorf("%d %q", code, body)
	}
	a.Started(func() Stats { return Stats{Ready: true} })
	b.Started(func() Stats { return Stats{Ready: true} })
	if code, body := m.ask("/readyz"); code != 200 || body != "ok\n" {
		t.Errorf("%d %q", code, body)
	}
	if !m.Looked() {
		t.Error("not all was looked at")
	}
	b.Started(func() Stats { return Stats{Ready: true, Unread: "/x: permission denied"} })
	if code, body := m.ask("/readyz"); code != 503 || body != "source b, output out: cannot be read: /x: permission denied\n" {
		t.Errorf("%d %q", code, body)
	}
	if !m.Looked() {
		t.Error("what cannot be read was looked at")
	}
	b.Stopped("has failed")
	if m.Looked() {
		t.Error("what does not run is not looked at")
	}
	if code, body := m.ask("/readyz"); code != 503 || body != "source b, output out: has failed\n" {
		t.Errorf("%d %q", code, body)
	}
}

func TestMetricsKeepTheRules(t *testing.T) {
	m := New()
	m.Tail(Key{"a", "out"}).Abandoned("gone", 1)
	m.Output("out")
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "logcatchsys_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// For the race detector: figures change while they are asked for.
func TestConcurrentUse(t *testing.T) {
	m := New()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				a := m.Tail(Key{"a", "out"})
				a.Read(1, 1)
				a.Started(func() Stats { return Stats{Ready: true} })
				a.Abandoned("gone", 1)
				m.Output("out").Delivered("a", 1, 1)
				m.Remove(Key{"a", "out"})
			}
		})
	}
	for range 20 {
		m.ask("/metrics")
		m.NotReady()
	}
	wg.Wait()
}

func TestServer(t *testing.T) {
	m := New()
	m.Tail(Key{"only here", "out"})
	s, err := Listen("127.0.0.1:0", m, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(s.Addr(), New(), slog.New(slog.DiscardHandler)); err == nil {
		t.Error("two servers on one address")
	}
	client := http.Client{Transport: &http.Transport{}}
	for _, c := range []struct {
		method, path string
		code         int
		says         string
	}{
		{"GET", "/", 200, "/metrics"},
		{"GET", "/healthz", 200, "ok\n"},
		{"HEAD", "/healthz", 200, ""},
		{"GET", "/metrics", 200, "go_goroutines"},
		{"GET", "/readyz", 503, "only here"},
		{"POST", "/healthz", 405, ""},
		{"GET", "/debug/pprof/", 404, ""},
	} {
		req, _ := http.NewRequest(c.method, "http://"+s.Addr()+c.path, nil)
		r, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(r.Body)
		r.Body.Close()
		if r.StatusCode != c.code || !strings.Contains(string(body), c.says) {
			t.Errorf("%s %s: %d %s", c.method, c.path, r.StatusCode, body)
		}
	}
	client.CloseIdleConnections()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	client.Timeout = 10 * time.Second
	if r, err := client.Get("http://" + s.Addr() + "/readyz"); err == nil { // its port may be another process's by now
		if body, _ := io.ReadAll(r.Body); strings.Contains(string(body), "only here") {
			t.Error("answers after Close")
		}
		r.Body.Close()
		client.CloseIdleConnections()
	}
}

func BenchmarkRead(b *testing.B) {
	a := New().Tail(Key{"a", "out"})
	b.ReportAllocs()
	for b.Loop() {
		a.Read(256<<10, 2000)
	}
}
