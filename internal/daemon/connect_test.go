package daemon

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestConnect(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/closed" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer s.Close()
	c := load(t, "configpath: {a: /a, b: {path: /b, outputs: [good]}}\noutputs:\n"+
		"  good: {type: http, url: '"+s.URL+"'}\n"+
		"  closed: {type: http, url: '"+s.URL+"/closed', bearer_token: s3cret}\n"+
		"  file: {type: file, path: '/dev/null/x'}\n"+
		"  screen: {type: stdout}\n")
	var out, remarks strings.Builder
	err := Connect(t.Context(), &out, &remarks, c)
	lines := strings.Split(out.String(), "\n")
	if err == nil || err.Error() != "2 outputs could not deliver" || len(lines) != 5 {
		t.Fatalf("%v\n%s", err, &out)
	}
	for i, want := range []string{"good: ok", "closed: " + s.URL + "/closed answers 401 Unauthorized: it does not accept the credentials",
		"file: no file can be made in /dev/null: ", "screen: ok"} {
		if !strings.HasPrefix(lines[i], want) {
			t.Errorf("%q, want %q", lines[i], want)
		}
	}
	if strings.Contains(out.String(), "s3cret") {
		t.Error("the secret is shown")
	}
}
