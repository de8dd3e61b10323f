package output

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/peer"
	"github.com/logcatchsys/logcatchsys/logconfig"
)

func elasticsearchFarEnd(t *testing.T, others ...string) farEnd {
	e := elasticsearchPeer(t)
	return farEnd{
		spec: Spec{Type: "elasticsearch", Endpoints: append(others, e.URL()), Index: "Logs-{source}-{yyyy}", Compression: "gzip"},
		once: true,
		got:  func(source string) []string { return esMessages(t, e, source) },
	}
}

func elasticsearchPeer(t testing.TB) *peer.Elasticsearch {
	t.Helper()
	p, err := peer.New("elasticsearch", t.TempDir())
	must(t, err)
	must(t, p.Start())
	t.Cleanup(func() { must(t, p.Close()) })
	return p.(*peer.Elasticsearch)
}

// esMessages is what an index holds of a source.
func esMessages(t testing.TB, e *peer.Elasticsearch, source string) (all []string) {
	t.Helper()
	var text bytes.Buffer
	must(t, e.Dump(&text))
	for line := range strings.Lines(text.String()) {
		if strings.HasPrefix(line, source+" ") {
			all = append(all, strings.TrimSuffix(line, "\n"))
		}
	}
	return all
}

// deadURL is where nobody listens, and nobody will while the test lasts: the port is that
// of a connection which goes out.
func deadURL(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	c, err := net.Dial("tcp", l.Addr().String())
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return "http://" + c.LocalAddr().String()
}

// openedES is an output to these endpoints; dead is the path of its dead letter.
func openedES(t testing.TB, env Env, change func(*Spec), endpoints ...string) (o *elasticsearch, dead string) {
	t.Helper()
	spec := Spec{
		Name: "es", Type: "elasticsearch", Endpoints: endpoints, Index: "logs-{source}", Timeout: 10 * time.Second,
		Batch: logconfig.Batch{Bytes: 1 << 20, Records: 1000}, DeadLetter: t.TempDir() + "/dead.jsonl",
	}
	if change != nil {
		change(&spec)
	}
	env.Host = "h1"
	env.Note = func([]byte) error { return nil }
	if env.Log == nil {
		env.Log = quiet()
	}
	out, err := Open(spec, env)
	must(t, err)
	t.Cleanup(func() { out.Close() })
	return out.(*elasticsearch), spec.DeadLetter
}

// esAnswer is the answer to n records: what failed says of each, or 201.
func esAnswer(n int, failed map[int]outcome) string {
	items := make([]string, n)
	for i := range items {
		one, ok := failed[i]
		if !ok {
			items[i] = `{"create":{"status":201}}`
			continue
		}
		cause, _ := json.Marshal(map[string]string{"type": one.Error.Type, "reason": one.Error.Reason})
		items[i] = fmt.Sprintf(`{"create":{"status":%d,"error":%s}}`, one.Status, cause)
	}
	return fmt.Sprintf(`{"errors":%v,"items":[%s]}`, len(failed) > 0, strings.Join(items, ","))
}

func esFailing(status int, kind, reason string) (o outcome) {
	o.Status, o.Error.Type, o.Error.Reason = status, kind, reason
	return o
}

// esCount is how many records a body has.
func esCount(body string) int { return strings.Count(body, "\n") / 2 }

// What an answer says of one record decides about that one alone.
func TestElasticsearchOutcomes(t *testing.T) {
	for _, c := range []struct {
		outcome outcome
		meaning meaning
		label   string // of what is rejected
	}{
		{esFailing(200, "", ""), taken, ""},
		{esFailing(201, "", ""), taken, ""},
		{esFailing(409, "version_conflict_engine_exception", "document already exists"), taken, ""},
		{esFailing(409, "", ""), taken, ""},
		{esFailing(409, "some_other_conflict", ""), later, ""},
		{esFailing(400, "mapper_parsing_exception", "no number"), never, "refused"},
		{esFailing(400, "document_parsing_exception", "no number"), never, "refused"},
		{esFailing(400, "strict_dynamic_mapping_exception", "labels"), never, "refused"},
		{esFailing(400, "illegal_argument_exception", "Limit of total fields [1000] has been exceeded"), never, "refused"},
		{esFailing(413, "too_long", ""), never, "too_large"},
		{esFailing(422, "unprocessable", ""), never, "refused"},
		{esFailing(400, "index_closed_exception", "closed"), later, ""},
		{esFailing(400, "illegal_argument_exception", "Validation Failed: 1: this action would add [2] shards"), later, ""},
		{esFailing(400, "validation_exception", "Validation Failed: 1: this action would add [2] shards"), later, ""},
		{esFailing(400, "illegal_argument_exception", "pipeline with id [p] does not exist"), later, ""},
		{esFailing(400, "illegal_argument_exception", "no write index is defined for alias [a]"), later, ""},
		{esFailing(401, "security_exception", ""), later, ""},
		{esFailing(403, "cluster_block_exception", "index [a] blocked by: [FORBIDDEN/8/index write (api)]"), later, ""},
		{esFailing(404, "index_not_found_exception", "no such index [a]"), later, ""},
		{esFailing(408, "", ""), later, ""},
		{esFailing(429, "es_rejected_execution_exception", "queue is full"), later, ""},
		{esFailing(500, "mapper_exception", "timed out"), later, ""},
		{esFailing(503, "unavailable_shards_exception", "primary shard is not active"), later, ""},
		{esFailing(0, "", ""), later, ""},
	} {
		t.Run(fmt.Sprint(c.outcome.Status, " ", c.outcome.Error.Type), func(t *testing.T) {
			s := newSink(t)
			s.answer = func(body string) (int, map[string]string, string) {
				return 200, nil, esAnswer(esCount(body), map[int]outcome{1: c.outcome})
			}
			dropped := map[string]int{}
			o, dead := openedES(t, Env{Dropped: func(_, reason string, n int) { dropped[reason] += n }}, nil, s.URL)
			put(t, o, sample("a", 0, 3))
			_, err := o.Flush(bg)
			if (err != nil) != (c.meaning == later) {
				t.Errorf("the flush says %v", err)
			}
			if kind := c.outcome.Error.Type; err != nil && (!strings.Contains(err.Error(), kind) || !strings.Contains(err.Error(), "1 of 3")) {
				t.Error("not the cause:", err)
			}
			if (dropped[c.label] == 1) != (c.meaning == never) || (content(t, dead) == "(none)") != (c.meaning != never) {
				t.Errorf("dropped %v, dead letter %s", dropped, content(t, dead))
			}
			s.answer = func(body string) (int, map[string]string, string) { return 200, nil, esAnswer(esCount(body), nil) }
			settle(t, o)
			want := 1
			if c.meaning == later {
				want = 2
			}
			if len(s.bodies) != want || want == 2 && (esCount(s.bodies[1]) != 1 || !strings.Contains(s.bodies[1], "a 00000001")) {
				t.Errorf("%d requests, the last is %s", len(s.bodies), s.bodies[len(s.bodies)-1])
			}
		})
	}
}

// A batch with a record that is not good, ones for which there is no room now, and ones
// that are there: all find their place.
func TestElasticsearchMixedOutcomes(t *testing.T) {
	e := elasticsearchPeer(t)
	first, _ := openedES(t, Env{}, nil, e.URL())
	put(t, first, sample("a", 0, 30))
	settle(t, first) // and is killed before the positions are committed
	full := true
	e.SetItemFault(func(d peer.Document) (int, string) {
		switch {
		case full && strings.Contains(string(d.Source), "5\""):
			return http.StatusTooManyRequests, "es_rejected_execution_exception"
		case strings.Contains(string(d.Source), "00000042"):
			return http.StatusBadRequest, "mapper_parsing_exception"
		}
		return 0, ""
	})
	o, dead := openedES(t, Env{}, nil, e.URL())
	put(t, o, sample("a", 0, 100))
	if _, err := o.Flush(bg); err == nil || !strings.Contains(err.Error(), "7 of 100 records: 429") {
		t.Error("the flush says", err)
	}
	full = false
	settle(t, o)
	got := esMessages(t, e, "a")
	slices.Sort(got)
	want := strings.Split(strings.TrimSpace(numbered("a", 0, 100)), "\n")
	if !slices.Equal(got, slices.Delete(want, 42, 43)) {
		t.Errorf("%d documents: %v", len(got), got)
	}
	letter := content(t, dead)
	if strings.Count(letter, "\n") != 1 || !strings.Contains(letter, `"message":"a 00000042"`) ||
		!strings.Contains(letter, `"reason":"400 Bad Request: mapper_parsing_exception: `) {
		t.Error(letter)
	}
}

// An answer that does not tell of each record settles none.
func TestElasticsearchStrangeAnswers(t *testing.T) {
	for _, answer := range []string{
		"", "<html>log in</html>", "{}", `{"errors":false}`, `{"errors":false,"items":[]}`, esAnswer(2, nil), esAnswer(4, nil),
		esAnswer(3, nil)[:60], `{"errors":false,"items":[{},{},{}]}`, `{"errors":false,"items":[{"index":{"status":201}},{"index":{"status":201}},{"index":{"status":201}}]}`,
		strings.Replace(esAnswer(3, map[int]outcome{1: esFailing(429, "", "")}), "true", "false", 1),
	} {
		s := newSink(t)
		s.answer = func(string) (int, map[string]string, string) { return 200, nil, answer }
		o, dead := openedES(t, Env{}, nil, s.URL)
		put(t, o, sample("a", 0, 3))
		if _, err := o.Flush(bg); err == nil || !strings.Contains(err.Error(), s.URL) {
			t.Errorf("%s: the flush says %v", answer, err)
		}
		s.answer = func(body string) (int, map[string]string, string) { return 200, nil, esAnswer(esCount(body), nil) }
		settle(t, o)
		if content(t, dead) != "(none)" || len(s.bodies) != 2 {
			t.Errorf("%s: dead letter %s, %d requests", answer, content(t, dead), len(s.bodies))
		}
	}
}

const emptyBulk = `{"error":{"reason":"Validation Failed: 1: no requests added;"},"status":400}`

// A request that is refused as a whole is halved, if that can be about its records.
func TestElasticsearchRefusedRequests(t *testing.T) {
	for status, label := range map[int]string{400: "refused", 413: "too_large"} {
		s := newSink(t)
		s.answer = func(body string) (int, map[string]string, string) {
			switch {
			case body == "\n":
				return 400, nil, emptyBulk
			case strings.Contains(body, "00000007"):
				return status, nil, "not this one"
			}
			return 200, nil, esAnswer(esCount(body), nil)
		}
		dropped := map[string]int{}
		o, dead := openedES(t, Env{Dropped: func(_, reason string, n int) { dropped[reason] += n }}, nil, s.URL)
		put(t, o, sample("a", 0, 20))
		settle(t, o)
		if !maps.Equal(dropped, map[string]int{label: 1}) || strings.Count(content(t, dead), "\n") != 1 || !strings.Contains(content(t, dead), "00000007") {
			t.Errorf("%d: dropped %v, dead letter %s", status, dropped, content(t, dead))
		}
	}
}

// Another server than Elasticsearch, which says 400 to all, does not empty the logs into
// the dead letter; neither do answers that are not about the records.
func TestElasticsearchAnswersThatAreNeverFinal(t *testing.T) {
	for _, status := range []int{301, 400, 401, 403, 404, 405, 408, 422, 429, 500, 502, 503, 504} {
		s := newSink(t)
		s.answer = func(string) (int, map[string]string, string) {
			return status, map[string]string{"Retry-After": "7"}, "Request must contain a kbn-xsrf header, not k3y!"
		}
		o, dead := openedES(t, Env{}, func(spec *Spec) { spec.APIKey = "k3y!" }, s.URL)
		put(t, o, sample("a", 0, 3))
		_, err := o.Flush(bg)
		var busy *BusyError
		if err == nil || !strings.Contains(err.Error(), fmt.Sprint(status)) || strings.Contains(err.Error(), "k3y") ||
			(status == 429 || status == 503) && (!errors.As(err, &busy) || busy.After != 7*time.Second) {
			t.Errorf("%d: %v", status, err)
		}
		if auth := s.header.Get("Authorization"); auth != "ApiKey k3y!" {
			t.Errorf("authorization: %q", auth)
		}
		s.answer = func(body string) (int, map[string]string, string) { return 200, nil, esAnswer(esCount(body), nil) }
		settle(t, o)
		if content(t, dead) != "(none)" {
			t.Errorf("%d: dead letter %s", status, content(t, dead))
		}
	}
}
