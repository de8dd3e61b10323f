package peer

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// up is an HTTP peer that runs.
func up(t testing.TB) *HTTP {
	t.Helper()
	p, err := New("http", t.TempDir())
	must(t, err)
	must(t, p.Start())
	t.Cleanup(func() { must(t, p.Close()) })
	return p.(*HTTP)
}

// post sends a body; the status is 0 if there is no answer.
func post(t testing.TB, h *HTTP, encoding, body string) (status int, header http.Header) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+h.addr+"/in", strings.NewReader(body))
	must(t, err)
	if encoding != "" {
		r.Header.Set("Content-Encoding", encoding)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	if err != nil {
		return 0, nil
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	must(t, err)
	return answer.StatusCode, answer.Header
}

// take posts what must be taken.
func take(t testing.TB, h *HTTP, messages ...string) {
	t.Helper()
	var body string
	for _, m := range messages {
		body += `{"source":"a","message":"` + m + "\"}\n"
	}
	if status, _ := post(t, h, "", body); status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
}

func TestHTTPEncodings(t *testing.T) {
	t.Parallel()
	h := up(t)
	var gz, zst bytes.Buffer
	g := gzip.NewWriter(&gz)
	z, err := zstd.NewWriter(&zst)
	must(t, err)
	for w, m := range map[io.WriteCloser]string{g: "two", z: "three"} {
		_, err := io.WriteString(w, `{"message":"`+m+"\"}\n")
		must(t, err)
		must(t, w.Close())
	}
	take(t, h, "one", `\"1\"`)
	for _, c := range []struct {
		encoding, body string
		status         int
	}{
		{"gzip", gz.String(), 200}, {"zstd", zst.String(), 200},
		{"gzip", zst.String(), 400}, {"zstd", gz.String(), 400}, {"gzip", gz.String()[:15], 400}, {"br", "x", 400},
	} {
		if status, _ := post(t, h, c.encoding, c.body); status != c.status {
			t.Errorf("%s: status %d, not %d", c.encoding, status, c.status)
		}
	}
	if text := dumped(t, h); text != "one\n\"1\"\ntwo\nthree\n" {
		t.Errorf("it holds %q", text)
	}
}

func TestHTTPTakesAllOrNothing(t *testing.T) {
	t.Parallel()
	h := up(t)
	const good = `{"message":"good"}` + "\n"
	for _, bad := range []string{"", "\n", good + "{}\n", good + `{"message":"cut"}`, good + `{"message":"cu`, good + "[]\n"} {
		if status, _ := post(t, h, "", bad); status != http.StatusBadRequest {
			t.Errorf("%q: status %d", bad, status)
		}
	}
	if text := dumped(t, h); text != "" {
		t.Errorf("it holds %q", text)
	}
}

func TestHTTPDownAndUp(t *testing.T) {
	t.Parallel()
	h := up(t)
	if err := h.Start(); err == nil {
		t.Error("started twice at once")
	}
	address := h.Config()
	take(t, h, "one")
	for _, down := range []func() error{h.Stop, h.Kill} {
		must(t, down())
		if status, _ := post(t, h, "", `{"message":"lost"}`+"\n"); status != 0 {
			t.Errorf("it is down, and answered %d", status)
		}
		must(t, h.Start())
		take(t, h, "more")
	}
	if text := dumped(t, h); text != "one\nmore\nmore\n" || h.Config() != address {
		t.Errorf("%s holds %q", h.Config(), text)
	}
}

// The listener before may be there for a moment still.
func TestHTTPWaitsForItsAddress(t *testing.T) {
	t.Parallel()
	h := up(t)
	must(t, h.Kill())
	l, err := listen(h.addr)
	must(t, err)
	started := make(chan error)
	go func() { started <- h.Start() }()
	select {
	case err := <-started:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	must(t, l.Close())
	must(t, <-started)
	take(t, h, "one")
}

func TestHTTPFaults(t *testing.T) {
	t.Parallel()
	h := up(t)
	h.SetFault(func(*http.Request) (int, http.Header) { return 503, http.Header{"Retry-After": {"7"}} })
	if status, header := post(t, h, "", `{"message":"refused"}`+"\n"); status != 503 || header.Get("Retry-After") != "7" {
		t.Errorf("status %d, header %v", status, header)
	}
	h.SetFault(func(*http.Request) (int, http.Header) { panic(http.ErrAbortHandler) })
	if status, _ := post(t, h, "", `{"message":"cut"}`+"\n"); status != 0 {
		t.Errorf("cut, and answered %d", status)
	}
	h.SetFault(func(*http.Request) (int, http.Header) { return 0, nil })
	take(t, h, "one")
	h.SetFault(nil)
	take(t, h, "two")
	if text := dumped(t, h); text != "one\ntwo\n" {
		t.Errorf("it holds %q", text)
	}
}

// killedInside goes down while a request is inside, and says what was answered.
func killedInside(t *testing.T, down func(*HTTP) error) (status int, h *HTTP) {
	h = up(t)
	inside := make(chan struct{})
	h.SetFault(func(r *http.Request) (int, http.Header) {
		close(inside)
		<-r.Context().Done()
		return 0, nil
	})
	answered := make(chan int)
	go func() {
		status, _ := post(t, h, "", `{"message":"late"}`+"\n")
		answered <- status
	}()
	<-inside
	must(t, down(h))
	return <-answered, h
}

func TestHTTPKilledInside(t *testing.T) {
	t.Parallel()
	for what, down := range map[string]func(*HTTP) error{"kill": (*HTTP).Kill, "stop": (*HTTP).Stop} {
		status, h := killedInside(t, down)
		if text := dumped(t, h); status != 0 || text != "" {
			t.Errorf("%s: answered %d, took %q", what, status, text)
		}
	}
}

func TestHTTPStopAnswers(t *testing.T) {
	t.Parallel()
	h := up(t)
	h.patience = startTime
	inside, on := make(chan struct{}), make(chan struct{})
	h.SetFault(func(*http.Request) (int, http.Header) {
		close(inside)
		<-on
		return 0, nil
	})
	answered := make(chan int)
	go func() {
		status, _ := post(t, h, "", `{"message":"in time"}`+"\n")
		answered <- status
	}()
	<-inside
	stopped := make(chan error)
	go func() { stopped <- h.Stop() }()
	for { // until nobody listens any more
		c, err := net.Dial("tcp", h.addr)
		if err != nil {
			break
		}
		must(t, c.Close())
	}
	close(on)
	must(t, <-stopped)
	if status, text := <-answered, dumped(t, h); status != 200 || text != "in time\n" {
		t.Errorf("answered %d, took %q", status, text)
	}
}
