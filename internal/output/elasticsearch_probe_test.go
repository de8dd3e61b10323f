package output

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/record"
)

// What a cluster answers to a probe, by method and path; *: to all others.
type esCluster map[string]struct {
	status int
	body   string
}

func (c esCluster) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	one, ok := c[q.Method+" "+q.URL.Path]
	if !ok {
		one = c["*"]
	}
	w.WriteHeader(one.status)
	io.WriteString(w, one.body)
}

// with is c with other answers.
func (c esCluster) with(more esCluster) esCluster {
	all := esCluster{}
	for _, m := range []esCluster{c, more} {
		for k, v := range m {
			all[k] = v
		}
	}
	return all
}

const hasPrivileges = "POST /_security/user/_has_privileges"

func esPrivileges(create, configure string) string {
	return `{"username":"u","index":{"logs-a":{"create_doc":` + create + `,"create_index":false,"auto_configure":` + configure + `}}}`
}

func TestProbeElasticsearch(t *testing.T) {
	good := esCluster{
		"GET /":        {200, `{"version":{"number":"8.15.0"},"tagline":"You Know, for Search"}`},
		"POST /_bulk":  {400, emptyBulk},
		hasPrivileges:  {200, esPrivileges("true", "true")},
		"HEAD /logs-a": {200, ""},
		"*":            {405, "no handler"},
	}
	for name, c := range map[string]struct {
		cluster esCluster
		want    string // in the error; "": none
	}{
		"good":                     {good, ""},
		"no security":              {good.with(esCluster{hasPrivileges: {405, ""}}), ""},
		"OpenSearch":               {good.with(esCluster{"GET /": {200, `{"version":{"distribution":"opensearch","number":"2.11.0"}}`}, hasPrivileges: {400, ""}}), ""},
		"may not monitor":          {good.with(esCluster{"GET /": {403, "security_exception"}}), ""},
		"may only create":          {good.with(esCluster{hasPrivileges: {200, esPrivileges("true", "false")}}), ""},
		"no index, may not create": {good.with(esCluster{hasPrivileges: {200, esPrivileges("true", "false")}, "HEAD /logs-a": {404, ""}}), "the index logs-a is not there"},
		"may not write":            {good.with(esCluster{hasPrivileges: {200, esPrivileges("false", "true")}}), "do not allow documents to be created in logs-a"},
		"wrong password":           {good.with(esCluster{"GET /": {401, "security_exception"}}), "does not accept the credentials"},
		"wrong password, later":    {good.with(esCluster{"GET /": {403, ""}, "POST /_bulk": {401, ""}}), "does not accept the credentials"},
		"old":                      {good.with(esCluster{"GET /": {200, `{"version":{"number":"6.8.0"}}`}}), "7.0 or newer"},
		"another server":           {good.with(esCluster{"GET /": {200, "<html>welcome to the p4ssword"}}), "neither Elasticsearch nor OpenSearch"},
		"another one":              {good.with(esCluster{"POST /_bulk": {400, "kbn-xsrf header"}}), "does not take _bulk requests: 400"},
		"unavailable":              {good.with(esCluster{"GET /": {503, ""}}), "503"},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(c.cluster)
			defer s.Close()
			spec := Spec{Name: "es", Type: "elasticsearch", Endpoints: []string{s.URL + "/"}, Index: "Logs-{source}", Username: "u", Password: "p4ssword"}
			err := Probe(bg, spec, Env{}, []*record.Batch{sample("a", 0, 0)})
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "p4ss")) {
				t.Errorf("%v, want %q", err, c.want)
			}
			spec.Endpoints = append(spec.Endpoints, deadURL(t))
			if err := Probe(bg, spec, Env{}, nil); err == nil || !strings.Contains(err.Error(), "refused") {
				t.Error("one endpoint is dead:", err)
			}
		})
	}
}

// The stand-in holds nothing after a probe, and finds nothing wrong.
func TestProbeElasticsearchLeavesNothing(t *testing.T) {
	e := elasticsearchPeer(t)
	spec := Spec{Name: "es", Type: "elasticsearch", Endpoints: []string{e.URL()}, Index: "logs-{source}", Compression: "gzip"}
	must(t, Probe(bg, spec, Env{}, []*record.Batch{sample("a", 0, 0)}))
	if d := e.Documents(); len(d) != 0 {
		t.Error(d)
	}
	ctx, cancel := context.WithTimeout(bg, time.Minute) // a name server may be asked more than once
	defer cancel()
	spec.Endpoints = []string{"http://no-such-host.invalid:9200"}
	if err := Probe(ctx, spec, Env{}, nil); err == nil || !strings.Contains(err.Error(), "DNS") {
		t.Error("a name that is not there:", err)
	}
}

func TestElasticsearchTLS(t *testing.T) {
	later, past := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	_, otherCA := certificate(t, "localhost", later)
	for name, c := range map[string]struct {
		cert  string
		until time.Time
		ca    string // "": the right one
		want  string
	}{
		"good":              {"localhost", later, "", ""},
		"expired":           {"localhost", past, "", "has expired"},
		"another name":      {"example.org", later, "", "for another name"},
		"unknown authority": {"localhost", later, otherCA, "authority that is not known"},
	} {
		t.Run(name, func(t *testing.T) {
			cert, ca := certificate(t, c.cert, c.until)
			if c.ca != "" {
				ca = c.ca
			}
			k := newSink(t)
			k.answer = func(body string) (int, map[string]string, string) { return 200, nil, esAnswer(esCount(body), nil) }
			s := httptest.NewUnstartedServer(k)
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
			s.StartTLS()
			defer s.Close()
			o, _ := openedES(t, Env{}, func(spec *Spec) {
				spec.TLS.CA, spec.Username, spec.Password = ca, "u", "p"
			}, strings.Replace(s.URL, "127.0.0.1", "localhost", 1))
			put(t, o, sample("a", 0, 3))
			_, err := o.Flush(bg)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
			if sent := len(k.bodies) == 1; sent != (c.want == "") || sent && k.header.Get("Authorization") != "Basic dTpw" {
				t.Errorf("%d requests, %v", len(k.bodies), k.header)
			}
		})
	}
}
