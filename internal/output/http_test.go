package output

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/logcatchsys/logcatchsys/internal/record"
	"github.com/logcatchsys/logcatchsys/logconfig"
)

// A sink is an HTTP server that keeps NDJSON records.
type sink struct {
	*httptest.Server
	mu      sync.Mutex
	records []map[string]any
	bodies  []string
	header  http.Header // of the last request
	answer  func(body string) (status int, header map[string]string, text string)
}

func newSink(t testing.TB) *sink {
	s := &sink{}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *sink) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := decompressed(q)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.header = q.Header.Clone()
	if s.answer != nil {
		status, header, text := s.answer(body)
		for k, v := range header {
			w.Header().Set(k, v)
		}
		w.WriteHeader(status)
		io.WriteString(w, text)
		if status/100 != 2 {
			return
		}
	}
	s.bodies = append(s.bodies, body)
	for line := range strings.Lines(body) {
		var r map[string]any
		if json.Unmarshal([]byte(line), &r) == nil {
			s.records = append(s.records, r)
		}
	}
}

// decompressed is a request's body.
func decompressed(q *http.Request) (string, error) {
	var r io.Reader = q.Body
	switch q.Header.Get("Content-Encoding") {
	case "gzip":
		z, err := gzip.NewReader(r)
		if err != nil {
			return "", err
		}
		r = z
	case "zstd":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return "", err
		}
		defer z.Close()
		r = z
	}
	body, err := io.ReadAll(r)
	return string(body), err
}

func (s *sink) messages(source string) (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.records {
		if r["source"] == source {
			all = append(all, r["message"].(string))
		}
	}
	return all
}

func httpFarEnd(t *testing.T) farEnd {
	s := newSink(t)
	return farEnd{spec: Spec{Type: "http", URL: s.URL, Method: "POST", Format: "json", Compression: "gzip"}, got: s.messages}
}

// opened is a http output to s; dead is the path of its dead letter.
func (s *sink) opened(t testing.TB, change func(*Spec), env Env) (o Output, dead string) {
	spec := Spec{
		Name: "sink", Type: "http", URL: s.URL, Method: "POST", Format: "json", Timeout: 10 * time.Second,
		Batch: logconfig.Batch{Bytes: 1 << 20, Records: 1000}, DeadLetter: t.TempDir() + "/dead.jsonl",
	}
	if change != nil {
		change(&spec)
	}
	env.Host = "h1"
	if env.Log == nil {
		env.Log = quiet()
	}
	if env.Note == nil {
		env.Note = func([]byte) error { return nil }
	}
	o, err := Open(spec, env)
	must(t, err)
	t.Cleanup(func() { o.Close() })
	return o, spec.DeadLetter
}

func TestHTTPRecord(t *testing.T) {
	s := newSink(t)
	o, _ := s.opened(t, func(spec *Spec) {
		spec.Headers = []logconfig.Header{{Name: "X-Team", Value: "blue"}}
		spec.Username, spec.Password = "u", "p"
	}, Env{})
	b := sample("web", 0, 2)
	b.Partial = nil
	put(t, o, b)
	settle(t, o)
	want := `{"timestamp":"2026-11-22T07:34:01.000000000Z","host":"h1","source":"web","file":"/var/log/web.log","offset":13,` +
		`"message":"web 00000001","labels":{"env":"test"},"id":"gen-web:13"}` + "\n"
	if !strings.HasSuffix(s.bodies[0], want) || strings.Count(s.bodies[0], "\n") != 2 {
		t.Errorf("%s\nwant at its end\n%s", s.bodies[0], want)
	}
	for name, want := range map[string]string{
		"X-Team": "blue", "Authorization": "Basic dTpw", "Content-Type": "application/x-ndjson", "User-Agent": "logcatchsys",
	} {
		if got := s.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// A batch that is refused is halved until the culprits stand alone.
func TestRefusedRecordsGoToTheDeadLetter(t *testing.T) {
	for _, status := range []int{400, 413, 422} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			s := newSink(t)
			s.answer = func(body string) (int, map[string]string, string) {
				if strings.Contains(body, "00000007") || strings.Contains(body, "00000042") {
					return status, nil, "no sevens here\n"
				}
				return 200, nil, ""
			}
			dropped := map[string]int{}
			o, dead := s.opened(t, nil, Env{Dropped: func(source, reason string, n int) { dropped[source+" "+reason] += n }})
			put(t, o, sample("a", 0, 100))
			settle(t, o)
			put(t, o, sample("a", 100, 10))
			settle(t, o)
			var want []string
			for n := range 110 {
				if n != 7 && n != 42 {
					want = append(want, fmt.Sprintf("a %08d", n))
				}
			}
			if got := s.messages("a"); strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("got %v", got)
			}
			letters := strings.Split(strings.TrimSpace(content(t, dead)), "\n")
			var letter struct{ Message, Reason, Output, At, Source, ID string }
			must(t, json.Unmarshal([]byte(letters[len(letters)-1]), &letter))
			if len(letters) != 2 || letter.Message != "a 00000042" || !strings.HasSuffix(letter.Reason, "no sevens here") ||
				letter.Output != "sink" || letter.Source != "a" || letter.At == "" || letter.ID == "" {
				t.Errorf("%d letters, the last is %+v", len(letters), letter)
			}
			label := map[int]string{400: "refused", 413: "too_large", 422: "refused"}[status]
			if len(dropped) != 1 || dropped["a "+label] != 2 {
				t.Errorf("dropped: %v", dropped)
			}
		})
	}
}

// Answers that are not about the records leave them where they are.
func TestAnswersThatAreNeverFinal(t *testing.T) {
	for _, status := range []int{301, 401, 403, 404, 408, 429, 500, 503} {
		s := newSink(t)
		s.answer = func(string) (int, map[string]string, string) {
			return status, map[string]string{"Retry-After": "7", "Location": "/elsewhere"}, "token is p4ss!"
		}
		o, dead := s.opened(t, func(spec *Spec) { spec.BearerToken = "p4ss!" }, Env{})
		put(t, o, sample("a", 0, 3))
		_, err := o.Flush(bg)
		var busy *BusyError
		if !errors.As(err, &busy) || busy.After != 7*time.Second || !strings.Contains(err.Error(), fmt.Sprint(status)) {
			t.Errorf("%d: %v", status, err)
		}
		if strings.Contains(err.Error(), "p4ss") {
			t.Errorf("the secret is in %v", err)
		}
		s.answer = nil
		settle(t, o)
		if len(s.messages("a")) != 3 || content(t, dead) != "(none)" {
			t.Errorf("%d: %v, dead letter %s", status, s.messages("a"), content(t, dead))
		}
	}
}

// A dead letter that cannot be written keeps the record, and holds it once.
func TestDeadLetterThatCannotBeWritten(t *testing.T) {
	s := newSink(t)
	s.answer = func(string) (int, map[string]string, string) { return 400, nil, "" }
	o, dead := s.opened(t, nil, Env{})
	full := true
	write := o.(*httpOutput).dead.file.(*file).disk.write
	o.(*httpOutput).dead.file.(*file).disk.write = func(f *os.File, p []byte) (int, error) {
		if full {
			n, _ := write(f, p[:len(p)/2])
			return n, errFull
		}
		return write(f, p)
	}
	put(t, o, sample("a", 0, 2))
	if _, err := o.Flush(bg); !errors.Is(err, errFull) {
		t.Errorf("the flush says %v", err)
	}
	full = false
	settle(t, o)
	if n := strings.Count(content(t, dead), "\n"); n != 2 || strings.Count(content(t, dead), `"offset":0,`) != 1 {
		t.Errorf("%d letters:\n%s", n, content(t, dead))
	}
}

// A kill after the dead letter was written and before the commit leaves it once.
func TestDeadLetterIsCutBack(t *testing.T) {
	s := newSink(t)
	s.answer = func(string) (int, map[string]string, string) { return 400, nil, "" }
	var ledger memLedger
	path := t.TempDir() + "/dead.jsonl"
	run := func(commit bool) {
		o, _ := s.opened(t, func(spec *Spec) { spec.DeadLetter = path }, Env{Undo: ledger.undo, Note: ledger.Note})
		put(t, o, sample("a", 0, 1))
		undo, err := o.Flush(bg)
		must(t, err)
		if commit {
			must(t, ledger.Note(undo))
		}
		must(t, o.Close())
	}
	run(false)
	run(false)
	run(true)
	if n := strings.Count(content(t, path), "\n"); n != 1 {
		t.Errorf("%d letters", n)
	}
}

func TestPumpHonoursRetryAfter(t *testing.T) {
	p := &Pump{cfg: PumpConfig{Retry: logconfig.Retry{Initial: time.Millisecond, Max: time.Millisecond}}}
	start := time.Now()
	p.pause(bg, 1, fmt.Errorf("write: %w", &BusyError{30 * time.Millisecond, errFull}))
	if d := time.Since(start); d < 30*time.Millisecond {
		t.Errorf("paused %v", d)
	}
}

func TestProbeHTTP(t *testing.T) {
	s := newSink(t)
	status := 200
	s.answer = func(string) (int, map[string]string, string) { return status, nil, "" }
	spec := Spec{Name: "sink", Type: "http", URL: s.URL, Method: "POST"}
	for code, want := range map[int]string{200: "", 400: "", 401: "credentials", 404: "path", 500: "500"} {
		status = code
		err := Probe(bg, spec, Env{}, []*record.Batch{sample("a", 0, 0)})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%d: %v, want %q", code, err, want)
		}
	}
	spec.URL = deadURL(t)
	if err := Probe(bg, spec, Env{}, nil); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Error("a server that is gone:", err)
	}
	ctx, cancel := context.WithTimeout(bg, time.Minute) // a name server may be asked more than once
	defer cancel()
	spec.URL = "http://no-such-host.invalid/"
	if err := Probe(ctx, spec, Env{}, nil); err == nil || !strings.Contains(err.Error(), "DNS") {
		t.Error("a name that is not there:", err)
	}
	tls := httptest.NewTLSServer(s)
	defer tls.Close()
	spec.URL = tls.URL
	if err := Probe(bg, spec, Env{}, nil); err == nil || !strings.Contains(err.Error(), "authority") {
		t.Error("a certificate that nobody knows:", err)
	}
	if len(s.records) != 0 {
		t.Error("a probe has sent records")
	}
}

// A body that net/http still reads after the request has ended is not ours to change.
func TestLentBodyIsTakenBack(t *testing.T) {
	q := httptest.NewRequest("POST", "/", nil)
	l := lend(q, []byte("0123456789"))
	again, err := q.GetBody()
	must(t, err)
	half := make([]byte, 5)
	if n, err := q.Body.Read(half); n != 5 || err != nil || q.ContentLength != 10 {
		t.Error(n, err, q.ContentLength)
	}
	l.takeBack()
	for _, r := range []io.Reader{q.Body, again} {
		if n, err := r.Read(half); n != 0 || err == nil || err == io.EOF {
			t.Error("read", n, err)
		}
	}
}

// A token may stand in the query of a URL, where the far end wants it there.
func TestSecretInTheQuery(t *testing.T) {
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		http.Error(w, "no: "+q.URL.String(), http.StatusForbidden)
	}))
	t.Cleanup(refusing.Close)
	for _, url := range []string{deadURL(t), refusing.URL} {
		spec := Spec{
			Name: "sink", Type: "http", URL: url + "/in?token=s3cret", Method: "POST", Format: "json", Timeout: time.Second,
			Batch: logconfig.Batch{Bytes: 1 << 20, Records: 1000},
		}
		for _, spec.Type = range []string{"http", "loki"} {
			o, err := Open(spec, Env{Host: "h1", Log: quiet()})
			must(t, err)
			t.Cleanup(func() { o.Close() })
			put(t, o, sample("a", 0, 1))
			_, err = o.Flush(bg)
			for _, err := range []error{err, Probe(bg, spec, Env{Host: "h1", Log: quiet()}, nil)} {
				if err == nil || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "/in?(secret)") {
					t.Errorf("%s says %v", spec.Type, err)
				}
			}
		}
	}
}

// A far end, or a proxy before it, that refuses everything is not believed for ever.
func TestRefusalOfEverythingIsNotBelieved(t *testing.T) {
	s := newSink(t)
	bad := true
	s.answer = func(string) (int, map[string]string, string) {
		if bad {
			return 400, nil, "no"
		}
		return 200, nil, ""
	}
	dropped := 0
	o, _ := s.opened(t, func(spec *Spec) { spec.Batch.Records = 10_000 }, Env{Dropped: func(_, _ string, n int) { dropped += n }})
	put(t, o, sample("a", 0, longestStreak+50))
	_, err := o.Flush(bg)
	if err == nil || !strings.Contains(err.Error(), "1000 records in a row were refused") || dropped != longestStreak {
		t.Errorf("%v, %d dropped", err, dropped)
	}
	if _, err := o.Flush(bg); err == nil || dropped != longestStreak {
		t.Errorf("then %v, %d dropped", err, dropped)
	}
	bad = false
	settle(t, o)
	if got := len(s.messages("a")); got != 50 || dropped != longestStreak {
		t.Errorf("%d delivered, %d dropped", got, dropped)
	}
}

func TestPlainHTTPToATLSPort(t *testing.T) {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	plain := &sink{Server: &httptest.Server{URL: strings.Replace(s.URL, "https", "http", 1)}}
	o, dead := plain.opened(t, nil, Env{})
	put(t, o, sample("a", 0, 3))
	_, err := o.Flush(bg)
	if err == nil || !strings.Contains(err.Error(), "wants TLS: write https://") || content(t, dead) != "(none)" {
		t.Errorf("%v, dead letter %s", err, content(t, dead))
	}
	for _, kind := range []string{"http", "loki"} {
		spec := Spec{Name: "x", Type: kind, URL: plain.URL, Method: "POST"}
		if err := Probe(bg, spec, Env{}, nil); err == nil || !strings.Contains(err.Error(), "wants TLS") {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestTimeoutSaysHowLongAndWhere(t *testing.T) {
	wait := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-wait }))
	defer s.Close()
	defer close(wait)
	slow := &sink{Server: &httptest.Server{URL: s.URL}}
	o, _ := slow.opened(t, func(spec *Spec) { spec.Timeout = 20 * time.Millisecond }, Env{})
	put(t, o, sample("a", 0, 1))
	if _, err := o.Flush(bg); err == nil || err.Error() != s.URL+": no answer within 20ms" {
		t.Error(err)
	}
}
