package output

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/snappy"

	"github.com/logcatchsys/logcatchsys/internal/record"
	"github.com/logcatchsys/logcatchsys/logconfig"
)

// A lokiServer stands in for Loki: it decodes with Loki's own types, keeps entries by
// stream, and takes two with one time and one line for one, as Loki does.
type lokiServer struct {
	*httptest.Server
	mu      sync.Mutex
	entries map[string][]push.Entry // by labels
	header  http.Header
	status  int // of the answer, if not 0
	refuse  string
}

func newLokiServer(t testing.TB) *lokiServer {
	s := &lokiServer{entries: map[string][]push.Entry{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *lokiServer) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	streams, err := lokiStreams(q)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.header = q.Header.Clone()
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	case s.status != 0:
		w.Header().Set("Retry-After", "3")
		w.WriteHeader(s.status)
		return
	}
	for _, stream := range streams {
		for _, e := range stream.Entries {
			if s.refuse != "" && strings.Contains(e.Line, s.refuse) {
				http.Error(w, "Max entry size exceeded", http.StatusBadRequest)
				return // what came before it is kept
			}
			s.keep(stream.Labels, e)
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *lokiServer) keep(labels string, e push.Entry) {
	if !slices.ContainsFunc(s.entries[labels], func(h push.Entry) bool {
		return h.Timestamp.Equal(e.Timestamp) && h.Line == e.Line
	}) {
		s.entries[labels] = append(s.entries[labels], e)
	}
}

func lokiStreams(q *http.Request) ([]push.Stream, error) {
	if q.Header.Get("Content-Type") == "application/json" {
		body, err := decompressed(q)
		if err != nil {
			return nil, err
		}
		return lokiJSON(body)
	}
	block, err := io.ReadAll(q.Body)
	if err != nil {
		return nil, err
	}
	body, err := snappy.Decode(nil, block)
	if err != nil {
		return nil, err
	}
	var p push.PushRequest
	err = p.Unmarshal(body)
	return p.Streams, err
}

func lokiJSON(body string) (streams []push.Stream, err error) {
	var p struct {
		Streams []struct {
			Stream map[string]string
			Values [][]json.RawMessage
		}
	}
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		return nil, err
	}
	for _, s := range p.Streams {
		var labels []lokiPair
		for name, value := range s.Stream {
			labels = append(labels, lokiPair{name, value})
		}
		slices.SortFunc(labels, func(a, b lokiPair) int { return strings.Compare(a.name, b.name) })
		stream := push.Stream{Labels: lokiSelector(labels)}
		for _, v := range s.Values {
			var at, line string
			meta := map[string]string{}
			if err := errors.Join(json.Unmarshal(v[0], &at), json.Unmarshal(v[1], &line), json.Unmarshal(v[2], &meta)); err != nil {
				return nil, err
			}
			nanos, err := strconv.ParseInt(at, 10, 64)
			if err != nil {
				return nil, err
			}
			e := push.Entry{Timestamp: time.Unix(0, nanos), Line: line}
			for name, value := range meta {
				e.StructuredMetadata = append(e.StructuredMetadata, push.LabelAdapter{Name: name, Value: value})
			}
			stream.Entries = append(stream.Entries, e)
		}
		streams = append(streams, stream)
	}
	return streams, nil
}

// messages are the lines of a job, sorted by time as a query shows them.
func (s *lokiServer) messages(job string) (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for labels, entries := range s.entries {
		if !strings.Contains(labels, `job="`+job+`"`) {
			continue
		}
		entries = slices.Clone(entries)
		slices.SortStableFunc(entries, func(a, b push.Entry) int { return a.Timestamp.Compare(b.Timestamp) })
		for _, e := range entries {
			all = append(all, e.Line)
		}
	}
	return all
}

func (s *lokiServer) spec() Spec {
	return Spec{
		Name: "loki", Type: "loki", URL: s.URL + "/loki/api/v1/push", Format: "raw", Encoding: "protobuf", Timeout: 10 * time.Second,
		Labels: map[string]string{"job": "{source}"}, Batch: logconfig.Batch{Bytes: 1 << 20, Records: 10_000, Age: time.Second},
	}
}

func lokiFarEnd(t *testing.T, encoding string) farEnd {
	s := newLokiServer(t)
	spec := s.spec()
	spec.Encoding, spec.Compression = encoding, "gzip"
	return farEnd{spec: spec, got: s.messages}
}

func openLokiAt(t testing.TB, spec Spec, dropped func(string, string, int)) Output {
	o, err := Open(spec, Env{Host: "h1", Log: quiet(), Dropped: dropped, Note: func([]byte) error { return nil }})
	must(t, err)
	t.Cleanup(func() { o.Close() })
	return o
}

func TestLokiEntries(t *testing.T) {
	for _, encoding := range []string{"protobuf", "json"} {
		t.Run(encoding, func(t *testing.T) {
			s := newLokiServer(t)
			spec := s.spec()
			spec.Encoding, spec.Tenant, spec.BearerToken = encoding, "blue", "t0ken"
			spec.Labels = map[string]string{"job": "logs/{source}", "host": "{host}", "none": "{label.none}"}
			o := openLokiAt(t, spec, nil)
			b := sample("web", 0, 0)
			b.Labels, b.Data, b.Count = `{"env":"a\"b","job":"other","9x-y":"1"}`, []byte("same\nsame\r\n\nbad \xff\n"), 4
			put(t, o, b)
			settle(t, o)
			const labels = `{_9x_y="1", env="a\"b", host="h1", job="logs/web"}`
			got := s.entries[labels]
			if len(got) != 4 || len(s.entries) != 1 {
				t.Fatalf("%v", s.entries)
			}
			for i, want := range []string{"same", "same", "", "bad \uFFFD"} {
				if got[i].Line != want || i > 0 && !got[i].Timestamp.After(got[i-1].Timestamp) {
					t.Errorf("entry %d: %q at %v", i, got[i].Line, got[i].Timestamp)
				}
			}
			if d := got[3].Timestamp.Sub(hour); d < 0 || d > time.Microsecond {
				t.Errorf("time %v from the reading", d)
			}
			meta := map[string]string{}
			for _, l := range got[1].StructuredMetadata {
				meta[l.Name] = l.Value
			}
			if len(meta) != 3 || meta["host"] != "h1" || meta["file"] != "/var/log/web.log" || meta["offset"] != "5" {
				t.Errorf("metadata %v", meta)
			}
			if s.header.Get("X-Scope-OrgID") != "blue" || s.header.Get("Authorization") != "Bearer t0ken" {
				t.Errorf("header %v", s.header)
			}
		})
	}
}

func TestLokiFormatsAndPieces(t *testing.T) {
	s := newLokiServer(t)
	spec := s.spec()
	spec.Format = "text"
	o := openLokiAt(t, spec, nil)
	b := sample("web", 0, 1)
	b.Partial = &record.Partial{Piece: 2, Last: true}
	put(t, o, b)
	settle(t, o)
	e := s.entries[`{env="test", job="web"}`]
	if len(e) != 1 || e[0].Line != "web: web 00000000" || fmt.Sprint(e[0].StructuredMetadata) != "[{host h1} {file /var/log/web.log} {piece 2} {last true} {offset 0}]" {
		t.Errorf("%+v", e)
	}
}

// Many streams in one request, one after another, keep their order.
func TestLokiStreamsOfOneRequest(t *testing.T) {
	s := newLokiServer(t)
	o := openLokiAt(t, s.spec(), nil)
	for i := range 10 {
		for _, source := range []string{"a", "b", "c"} {
			put(t, o, sample(source, i*3, 3))
		}
	}
	settle(t, o)
	for _, source := range []string{"a", "b", "c"} {
		farEnd{got: s.messages, once: true}.check(t, source, 30)
	}
}

func TestLokiBoundsLabels(t *testing.T) {
	o := openLokiAt(t, (&lokiServer{Server: &httptest.Server{}}).spec(), nil)
	own := map[string]string{}
	for i := range 40 {
		own[fmt.Sprintf("l%02d", i)] = "x"
	}
	text, _ := json.Marshal(own)
	labels := o.(*lokiOutput).labelsOf(&record.Batch{Source: "a", Labels: string(text)})
	if len(labels) != lokiLabels || labels[0] != (lokiPair{"job", "a"}) {
		t.Errorf("%d labels: %v", len(labels), labels)
	}
}

func TestLokiRefusals(t *testing.T) {
	s := newLokiServer(t)
	s.refuse = "00000013"
	spec := s.spec()
	spec.DeadLetter = t.TempDir() + "/dead"
	dropped := 0
	o := openLokiAt(t, spec, func(_, _ string, n int) { dropped += n })
	put(t, o, sample("a", 0, 40))
	settle(t, o)
	if got := s.messages("a"); len(got) != 39 || dropped != 1 || !strings.Contains(content(t, spec.DeadLetter), "Max entry size") {
		t.Errorf("%d lines, %d dropped, %s", len(got), dropped, content(t, spec.DeadLetter))
	}
	s.status = http.StatusTooManyRequests
	put(t, o, sample("a", 40, 1))
	_, err := o.Flush(bg)
	var busy *BusyError
	if !errors.As(err, &busy) || busy.After != 3*time.Second {
		t.Errorf("429: %v", err)
	}
}

func TestProbeLoki(t *testing.T) {
	s := newLokiServer(t)
	for status, want := range map[int]string{0: "", 422: "", 401: "credentials", 404: "/loki/api/v1/push"} {
		s.status = status
		err := Probe(bg, s.spec(), Env{}, nil)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%d: %v", status, err)
		}
	}
	if len(s.entries) != 0 {
		t.Error("a probe has sent entries")
	}
}

func FuzzLokiEntry(f *testing.F) {
	f.Add("a line", "/var/log/x", int64(5), "v", "env")
	f.Add("\xff\x00\"", "\xfe", int64(-1), "\"\n", "9-")
	legal := regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
	f.Fuzz(func(t *testing.T, line, file string, offset int64, value, name string) {
		if lokiName(name) != "" && !legal.MatchString(lokiName(name)) {
			t.Errorf("label %q", lokiName(name))
		}
		labels, _ := json.Marshal(map[string]string{name: value})
		b := &record.Batch{Source: "s", File: file, From: offset, Labels: string(labels), Data: []byte(line), Count: record.CountLines([]byte(line)), Read: hour}
		for _, encoding := range []string{"protobuf", "json"} {
			o := openLokiAt(t, Spec{Name: "l", Encoding: encoding, Type: "loki", Format: "raw"}, nil).(*lokiOutput)
			var want []string
			b.Each(func(_ int64, m []byte) bool {
				want = append(want, strings.ToValidUTF8(string(m), "\uFFFD"))
				return true
			})
			o.Encode(b)
			o.add(b)
			if len(o.items) == 0 {
				continue
			}
			r := o.next()
			r.to = len(o.items)
			streams, err := lokiBody(o, r)
			if err != nil || len(streams) != 1 || len(streams[0].Entries) != len(want) {
				t.Fatalf("%s: %v, %v", encoding, err, streams)
			}
			for i, e := range streams[0].Entries {
				if !utf8.ValidString(e.Line) || encoding == "protobuf" && e.Line != want[i] {
					t.Errorf("%s: %q, want %q", encoding, e.Line, want[i])
				}
			}
		}
	})
}

func lokiBody(o *lokiOutput, r *request) ([]push.Stream, error) {
	if o.json {
		return lokiJSON(string(jsonPush(nil, r, o.streams(r))))
	}
	var p push.PushRequest
	err := p.Unmarshal(protoPush(nil, r, o.streams(r)))
	return p.Streams, err
}

func BenchmarkLoki(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		io.Copy(io.Discard, q.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer s.Close()
	spec := (&lokiServer{Server: s}).spec()
	o := openLokiAt(b, spec, nil)
	batch := sample("a", 0, 2000)
	b.SetBytes(int64(len(batch.Data)))
	b.ReportAllocs()
	for b.Loop() {
		o.(Encoder).Encode(batch)
		must(b, o.Write(bg, batch))
	}
	_, err := o.Flush(bg)
	must(b, err)
}
