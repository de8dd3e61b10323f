package output

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/logcatchsys/logcatchsys/logconfig"
)

// The output stays with an endpoint until it fails, and says that it has gone on.
func TestElasticsearchEndpoints(t *testing.T) {
	good, bad := newSink(t), newSink(t)
	good.answer = func(body string) (int, map[string]string, string) { return 200, nil, esAnswer(esCount(body), nil) }
	for what, first := range map[string]string{"refused": deadURL(t), "503 Service Unavailable": bad.URL} {
		bad.answer = func(string) (int, map[string]string, string) { return 503, nil, "" }
		log, said := logged()
		o, _ := openedES(t, Env{Log: log}, nil, first, good.URL)
		o.at = 0
		for i := range 3 {
			put(t, o, sample("a", i*10, 10))
			_, err := o.Flush(bg)
			must(t, err)
		}
		if n := strings.Count(said(), "going on with "+good.URL); n != 1 || !strings.Contains(said(), what) {
			t.Errorf("%s: said %d times:\n%s", what, n, said())
		}
	}
	if len(bad.header) == 0 {
		t.Error("the bad one was not asked")
	}
	o, _ := openedES(t, Env{}, nil, deadURL(t), bad.URL)
	put(t, o, sample("a", 0, 1))
	if _, err := o.Flush(bg); err == nil || !strings.Contains(err.Error(), "refused") || !strings.Contains(err.Error(), "503") {
		t.Error("no endpoint answers, and the flush says", err)
	}
}

// A connection that the other end has closed meanwhile is no reason to leave an endpoint.
func TestElasticsearchConnectionClosed(t *testing.T) {
	s := newSink(t)
	s.answer = func(body string) (int, map[string]string, string) { return 200, nil, esAnswer(esCount(body), nil) }
	used := map[string]bool{}
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		s.mu.Lock()
		again := used[q.RemoteAddr]
		used[q.RemoteAddr] = true
		s.mu.Unlock()
		if again {
			panic(http.ErrAbortHandler)
		}
		s.ServeHTTP(w, q)
	})
	log, said := logged()
	o, _ := openedES(t, Env{Log: log}, nil, s.URL, deadURL(t))
	o.at = 0
	for i := range 3 {
		put(t, o, sample("a", i*10, 10))
		_, err := o.Flush(bg)
		must(t, err)
	}
	if said() != "" || len(used) != 3 {
		t.Errorf("%d connections; said %s", len(used), said())
	}
}

// Collectors begin with different endpoints.
func TestElasticsearchFirstEndpoint(t *testing.T) {
	begun := map[int]bool{}
	for i := range 50 {
		o, err := newElasticsearch(Spec{Endpoints: []string{"http://a", "http://b", "http://c"}}, Env{Host: fmt.Sprint("h", i)}.complete())
		must(t, err)
		begun[o.at] = true
	}
	if len(begun) != 3 {
		t.Error("they begin with", begun)
	}
}

func TestElasticsearchSpec(t *testing.T) {
	for want, spec := range map[string]Spec{
		"placeholder": {Endpoints: []string{"http://h"}, Index: "{nonsense}"},
		"none":        {Index: "a"},
		"not a URL":   {Endpoints: []string{"http://u:p4ss@h:x y"}},
		"no cert":     {Endpoints: []string{"http://h"}, TLS: logconfig.TLS{CA: "elasticsearch_test.go"}},
	} {
		spec.Name, spec.Type = "es", "elasticsearch"
		if _, err := Open(spec, Env{Log: quiet()}); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "p4ss") {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
