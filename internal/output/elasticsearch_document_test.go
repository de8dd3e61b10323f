package output

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/logcatchsys/logcatchsys/internal/record"
)

// offlineES is an output that is not opened; it can encode.
func offlineES(t testing.TB, index string) *elasticsearch {
	t.Helper()
	o, err := newElasticsearch(Spec{Endpoints: []string{"http://h"}, Index: index}, Env{Host: "h1"}.complete())
	must(t, err)
	return o
}

// decodedES is what a batch becomes: an action and a document for each span.
func decodedES(t testing.TB, o *elasticsearch, b *record.Batch) (actions, documents []map[string]any) {
	t.Helper()
	o.Encode(b)
	at := 0
	for _, s := range b.Spans {
		lines := strings.Split(string(b.Out[at:s.End]), "\n")
		if len(lines) != 3 || lines[2] != "" {
			t.Fatalf("not two lines: %q", b.Out[at:s.End])
		}
		var action, document map[string]any
		must(t, json.Unmarshal([]byte(lines[0]), &action))
		must(t, json.Unmarshal([]byte(lines[1]), &document))
		actions, documents = append(actions, action), append(documents, document)
		at = s.End
	}
	if at != len(b.Out) {
		t.Fatalf("%d bytes behind the last record", len(b.Out)-at)
	}
	return actions, documents
}

func TestElasticsearchDocument(t *testing.T) {
	b := sample("web", 0, 2)
	b.Source, b.Labels = "We\"b", `{"env":"test","team.name":"blue"}`
	b.Data = append(b.Data, "tab\there \xff \"end\"\r\n"...)
	actions, documents := decodedES(t, offlineES(t, "Logs-{source}-{yyyy}.{mm}.{dd}"), b)
	wantAction := map[string]any{"create": map[string]any{"_index": "logs-we_b-2026.11.22", "_id": "gen-web:26"}}
	want := map[string]any{
		"@timestamp": "2026-11-22T07:34:01.000000000Z", "message": "tab\there \ufffd \"end\"",
		"log":  map[string]any{"file": map[string]any{"path": "/var/log/web.log"}, "offset": 26.0},
		"host": map[string]any{"name": "h1"}, "event": map[string]any{"dataset": "We\"b"},
		"ecs": map[string]any{"version": "8.11.0"}, "labels": map[string]any{"env": "test", "team_name": "blue"},
	}
	if len(actions) != 3 || !reflect.DeepEqual(actions[2], wantAction) || !reflect.DeepEqual(documents[2], want) {
		t.Errorf("%d: %v\n%v\nwant %v\n%v", len(actions), actions[2], documents[2], wantAction, want)
	}
	if documents[0]["message"] != "web 00000000" || b.Spans[1].Offset != 13 {
		t.Error(documents[0], b.Spans)
	}

	p := piece("web", "half a line", 3, true)
	p.Gen, p.From = "g", 1000
	actions, documents = decodedES(t, offlineES(t, "x"), p)
	want = map[string]any{"partial": map[string]any{"piece": 3.0, "last": true}}
	if !reflect.DeepEqual(documents[0]["logcatchsys"], want) || documents[0]["labels"] != nil {
		t.Error(documents[0])
	}
	if id := actions[0]["create"].(map[string]any)["_id"]; id != "g:1000" {
		t.Error("id", id)
	}
}

// An id is the same each time, of one record only, and not longer than may be.
func TestElasticsearchLongIDs(t *testing.T) {
	seen := map[any]bool{}
	for _, gen := range []string{"g", strings.Repeat("x", 492), strings.Repeat("x", 493), strings.Repeat("x", 494), strings.Repeat("y", 2000)} {
		for range 2 {
			b := sample("a", 0, 1)
			b.Gen, b.From = gen, 1<<62
			actions, _ := decodedES(t, offlineES(t, "x"), b)
			id := actions[0]["create"].(map[string]any)["_id"].(string)
			if len(id) > 512 || !strings.HasSuffix(id, fmt.Sprint(":", 1<<62)) {
				t.Errorf("%d bytes: %s", len(id), id)
			}
			seen[id] = true
		}
	}
	if len(seen) != 5 {
		t.Errorf("%d ids", len(seen))
	}
}

func TestElasticsearchLabels(t *testing.T) {
	for _, c := range []struct{ from, want map[string]string }{
		{map[string]string{}, map[string]string{}},
		{map[string]string{"a": "x.y", "b": ""}, map[string]string{"a": "x.y", "b": ""}},
		{map[string]string{"a": "1", "a.b": "2", "a_b": "3", "a.b.c": "4"}, map[string]string{"a": "1", "a_b_": "2", "a_b": "3", "a_b_c": "4"}},
		{map[string]string{"": "1", ".": "2", " ": "3"}, map[string]string{"_": "1", "__": "3", "___": "2"}},
	} {
		if got := plainLabels(c.from); !maps.Equal(got, c.want) {
			t.Errorf("%v: %v, want %v", c.from, got, c.want)
		}
	}
}

func TestElasticsearchIndex(t *testing.T) {
	for name, want := range map[string]string{
		"Logs-Nginx": "logs-nginx", "a/b\\c*d?e\"f<g>h|i j,k#l:m": "a_b_c_d_e_f_g_h_i_j_k_l_m",
		"-_+-a-": "a-", "__": "logs", "": "logs", ".": "logs", "..": "logs", ".hidden": ".hidden", "a\x00\nb\xff": "a__b_",
		"ÄÖ": "äö", strings.Repeat("é", 200): strings.Repeat("é", 116), strings.Repeat("a", 300): strings.Repeat("a", 233),
	} {
		if got := indexName(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

var illegalES = regexp.MustCompile(`^$|^[-_+]|^\.\.?$|[A-Z\\/*?"<>| ,#:[:cntrl:]]`)

func FuzzElasticsearchIndex(f *testing.F) {
	f.Add("Logs-{source}", "a b")
	f.Add("{source}", "..")
	f.Fuzz(func(t *testing.T, index, source string) {
		o, err := newElasticsearch(Spec{Endpoints: []string{"http://h"}, Index: index}, Env{Host: "h"}.complete())
		if err != nil {
			return
		}
		b := sample("a", 0, 1)
		b.Source = source
		actions, _ := decodedES(t, o, b)
		name := actions[0]["create"].(map[string]any)["_index"].(string)
		if illegalES.MatchString(name) || len(name) > 233 || !utf8.ValidString(name) || name != strings.ToLower(name) || indexName(name) != name {
			t.Errorf("%q", name)
		}
	})
}

// What takes the short way through an answer says the same as all of it.
func FuzzElasticsearchAnswer(f *testing.F) {
	f.Add([]byte(esAnswer(1, nil)), 1)
	f.Add([]byte(esAnswer(3, nil)), 3)
	f.Add([]byte(esAnswer(3, nil)), 2)
	f.Add([]byte(esAnswer(2, map[int]outcome{1: esFailing(409, "a", "b")})), 2)
	f.Add([]byte(`{"errors":false,"items":[]}`), 0)
	f.Add([]byte(`{"items":[{"create":{"status":201,"error":null}}]}`), 1)
	f.Fuzz(func(t *testing.T, body []byte, n int) {
		if n < 0 || n > 1000 {
			return
		}
		all, err := outcomes(body, n)
		if err == nil && len(all) != n {
			t.Errorf("%d outcomes of %d", len(all), n)
		}
		if !created(body, n) {
			return
		}
		if err != nil || n == 0 {
			t.Fatalf("%d created: %v", n, err)
		}
		for i, one := range all {
			if one != esFailing(201, "", "") {
				t.Errorf("outcome %d of %q is %v", i, body, one)
			}
		}
	})
}

func TestElasticsearchCreated(t *testing.T) {
	good := esAnswer(3, nil)
	if !created([]byte(good), 3) || !created([]byte(esAnswer(1, nil)), 1) {
		t.Error("the short way is not taken")
	}
	for i := range good {
		bad := []byte(good)
		bad[i] ^= 1
		if created(bad, 3) || created(bad[:i], 3) {
			t.Errorf("taken: %s", bad)
		}
	}
}

// The longest line that we promise to take is one that Elasticsearch takes.
func TestElasticsearchLongestLine(t *testing.T) {
	b := sample("a", 0, 1)
	const part = 32 // of it is enough to see how it grows
	b.Data = make([]byte, elasticsearchLine/part)
	for i := range b.Data {
		b.Data[i] = 1
	}
	offlineES(t, "x").Encode(b)
	if n := len(b.Out) * part; n > 48<<20 {
		t.Errorf("%d bytes", n)
	}
}

// esCreator takes all records.
func esCreator(t testing.TB) *httptest.Server {
	answers := map[int]string{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		n := esCount(string(body))
		if answers[n] == "" {
			answers[n] = esAnswer(n, nil)
		}
		io.WriteString(w, answers[n])
	}))
	t.Cleanup(s.Close)
	return s
}

// BenchmarkElasticsearch is the way of records, ten batches a request.
func BenchmarkElasticsearch(b *testing.B) {
	s := esCreator(b)
	o, _ := openedES(b, Env{}, func(spec *Spec) { spec.Batch.Bytes, spec.Batch.Records = 8<<20, 1_000_000 }, s.URL)
	batch := sample("a", 0, 1000)
	batch.Data = []byte(strings.Repeat("a line of some length, as they are in most of the logs there\n", 1000))
	b.SetBytes(int64(len(batch.Data)))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		o.Encode(batch)
		must(b, o.Write(bg, batch))
		if i%10 == 9 {
			_, err := o.Flush(bg)
			must(b, err)
		}
	}
}

func BenchmarkElasticsearchEncode(b *testing.B) {
	o := offlineES(b, "logs-{source}-{yyyy}.{mm}.{dd}")
	batch := sample("a", 0, 1000)
	batch.Data = []byte(strings.Repeat("a line of some length, as they are in most of the logs there\n", 1000))
	b.SetBytes(int64(len(batch.Data)))
	b.ReportAllocs()
	for b.Loop() {
		o.Encode(batch)
	}
}
