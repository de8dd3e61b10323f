package peer

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

func elasticsearchUp(t *testing.T) *Elasticsearch {
	t.Helper()
	p, err := New("elasticsearch", t.TempDir())
	must(t, err)
	must(t, p.Start())
	t.Cleanup(func() { must(t, p.Close()) })
	return p.(*Elasticsearch)
}

// bulkAnswer is the answer to a body, and its status.
func bulkAnswer(t *testing.T, e *Elasticsearch, query, body string) (int, string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	a, err := client.Post(e.URL()+"/_bulk"+query, "application/x-ndjson", strings.NewReader(body))
	must(t, err)
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	must(t, err)
	return a.StatusCode, string(text)
}

// esItem is the creation of a document.
func esItem(index, id, message string) string {
	return fmt.Sprintf(`{"create":{"_index":%q,"_id":%q}}`+"\n"+`{"@timestamp":"2026-11-22T07:34:01Z","message":%q}`+"\n", index, id, message)
}

func TestElasticsearchCreates(t *testing.T) {
	t.Parallel()
	e := elasticsearchUp(t)
	e.SetItemFault(func(d Document) (int, string) {
		if d.ID == "busy" {
			return http.StatusTooManyRequests, "es_rejected_execution_exception"
		}
		return 0, ""
	})
	body := esItem("a", "1", "one") + esItem("a", "1", "again") + esItem("b", "1", "other index") +
		esItem("A", "2", "no index") + esItem("a", "busy", "later") +
		`{"create":{"_index":"a","_id":"3"}}` + "\n" + `{"message":"no time"}` + "\n"
	status, text := bulkAnswer(t, e, "?filter_path=errors", body)
	var answer struct {
		Errors bool
		Items  []struct {
			Create struct {
				Status int
				Error  struct{ Type string }
			}
		}
	}
	must(t, json.Unmarshal([]byte(text), &answer))
	got := ""
	for _, i := range answer.Items {
		got += fmt.Sprintf("%d %s\n", i.Create.Status, i.Create.Error.Type)
	}
	want := "201 \n409 version_conflict_engine_exception\n201 \n400 invalid_index_name_exception\n" +
		"429 es_rejected_execution_exception\n400 document_parsing_exception\n"
	if status != 200 || !answer.Errors || got != want {
		t.Errorf("%d %s", status, text)
	}
	must(t, e.Kill())
	must(t, e.Start())
	if held := dumped(t, e); held != "one\nother index\n" || e.Documents()[1].Index != "b" {
		t.Errorf("it holds %q", held)
	}
	e.SetItemFault(nil)
	status, text = bulkAnswer(t, e, "?filter_path=errors", esItem("a", "busy", "now"))
	if want := `{"errors":false,"items":[{"create":{"status":201}}]}`; status != 200 || text != want {
		t.Errorf("%d %s", status, text)
	}
	if _, text := bulkAnswer(t, e, "", esItem("a", "4", "in full")); !strings.Contains(text, `"_id":"4"`) || !strings.Contains(text, `"took"`) {
		t.Error(text)
	}
}

// A body that is not as it should be is refused as a whole.
func TestElasticsearchRefuses(t *testing.T) {
	t.Parallel()
	e := elasticsearchUp(t)
	good := esItem("a", "1", "one")
	for body, want := range map[string]string{
		"":                               "request body is required",
		"\n":                             "no requests added",
		strings.TrimSuffix(good, "\n"):   "terminated by a newline",
		good + "{not json}\n{}\n":        "malformed",
		good + `{"index":{}}` + "\n{}\n": "only the creation",
		good + `{"create":{"_index":"a","_id":"2"}}` + "\n": "without a document",
		good + esItem("a", strings.Repeat("x", 513), ""):    "too long",
	} {
		if status, text := bulkAnswer(t, e, "", body); status != 400 || !strings.Contains(text, want) {
			t.Errorf("%.80q: %d %s, want %q", body, status, text, want)
		}
	}
	if held := dumped(t, e); held != "" {
		t.Errorf("it holds %q", held)
	}
}

func TestElasticsearchIndexNames(t *testing.T) {
	for name, want := range map[string]bool{
		"logs-a-2026.11.22": true, "ä": true, ".hidden": true, strings.Repeat("x", 255): true,
		"": false, ".": false, "..": false, "-a": false, "_a": false, "+a": false, "A": false, "a b": false,
		"a/b": false, "a:b": false, "a\x01": false, strings.Repeat("x", 256): false,
	} {
		if legalIndex(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
}
