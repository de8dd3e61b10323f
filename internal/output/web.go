package output

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A web sends HTTP requests with what the specification says of TLS, credentials,
// headers and compression. It is for one goroutine.
type web struct {
	spec     Spec
	client   *http.Client
	compress *compressor
	header   http.Header
}

// An answer is a response with its body, of which no more than asked for was read.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// tallAnswer is enough of a body to say what is wrong.
const tallAnswer = 4 << 10

func newWeb(spec Spec, env Env) (*web, error) {
	tlsConfig, err := newTLS(spec.TLS)
	if err != nil {
		return nil, err
	}
	compress, err := newCompressor(spec.Compression)
	if err != nil {
		return nil, err
	}
	w := &web{spec: spec, compress: compress, header: http.Header{"User-Agent": {"logcatchsys"}}}
	w.client = &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: env.Dial, TLSClientConfig: tlsConfig,
			TLSHandshakeTimeout: 10 * time.Second, ForceAttemptHTTP2: true,
			MaxIdleConnsPerHost: 2, IdleConnTimeout: 90 * time.Second,
		},
		// Some redirects turn a POST into a GET, whose 200 would mean nothing.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if compress.encoding != "" {
		w.header.Set("Content-Encoding", compress.encoding)
	}
	for _, h := range spec.Headers {
		w.header.Set(h.Name, h.Value.Reveal())
	}
	if spec.BearerToken != "" {
		w.header.Set("Authorization", "Bearer "+spec.BearerToken.Reveal())
	}
	if spec.APIKey != "" {
		w.header.Set("Authorization", "ApiKey "+spec.APIKey.Reveal())
	}
	return w, nil
}

// send sends body, compressed, and reads at most limit bytes of the answer's. Any
// answer is no error.
func (w *web) send(ctx context.Context, method, url, contentType string, body []byte, limit int64) (*answer, error) {
	body, err := w.compress.compress(body)
	if err != nil {
		return nil, err
	}
	q, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return nil, w.redact(err)
	}
	defer lend(q, body).takeBack()
	q.Header = w.header.Clone()
	if contentType != "" && q.Header.Get("Content-Type") == "" {
		q.Header.Set("Content-Type", contentType)
	}
	if host := q.Header.Get("Host"); host != "" {
		q.Host = host
	}
	if w.spec.Username != "" {
		q.SetBasicAuth(w.spec.Username, w.spec.Password.Reveal())
	}
	resp, err := w.client.Do(q)
	if err != nil {
		return nil, w.redact(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, limit))
	if err != nil && resp.StatusCode/100 == 2 {
		return nil, fmt.Errorf("reading the answer of %s: %w", w.hide(url), w.redact(err))
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 256<<10) // so that the connection can be used again
	return &answer{resp.StatusCode, resp.Header, text}, nil
}

// verdict is what an answer means for the request: accepted (nil), refused as it is
// (*refusal), or to be sent again, maybe after a pause that the answer asks for.
func (w *web) verdict(a *answer, url string) error {
	if a.status == http.StatusBadRequest && wantsTLS(a.body) {
		return fmt.Errorf("%s: the other end wants TLS: write https://", w.hide(url))
	}
	switch a.status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return &refusal{refused, w.said(a)}
	case http.StatusRequestEntityTooLarge:
		return &refusal{tooLarge, w.said(a)}
	}
	if a.status/100 == 2 {
		return nil
	}
	err := fmt.Errorf("%s answers %s", w.hide(url), w.said(a))
	switch {
	case a.status == http.StatusUnauthorized || a.status == http.StatusForbidden:
		err = fmt.Errorf("%w: it does not accept the credentials", err)
	case a.status/100 == 3:
		err = fmt.Errorf("%w: redirected to %s; write that", err, w.hide(a.header.Get("Location")))
	}
	if after := retryAfter(a.header.Get("Retry-After"), time.Now()); after > 0 {
		return &BusyError{after, err}
	}
	return err
}

// wantsTLS recognises what servers answer to http:// at a port of theirs for https://, in
// the words of Go, nginx and Apache.
func wantsTLS(body []byte) bool {
	for _, words := range []string{"HTTP request to an HTTPS server", "plain HTTP request was sent to HTTPS port", "speaking plain HTTP to an SSL-enabled server port"} {
		if bytes.Contains(body, []byte(words)) {
			return true
		}
	}
	return false
}

// said is the status and the beginning of the body, in one line and without secrets.
func (w *web) said(a *answer) string {
	text := strings.TrimSpace(strconv.Itoa(a.status) + " " + http.StatusText(a.status))
	body := w.hide(strings.ToValidUTF8(string(a.body[:min(len(a.body), tallAnswer)]), ""))
	body = strings.Join(strings.FieldsFunc(body, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }), " ")
	const most = 300
	if len(body) > most {
		for body = body[:most]; !utf8.ValidString(body); {
			body = body[:len(body)-1]
		}
		body += "…"
	}
	if body != "" {
		text += ": " + body
	}
	return text
}

// redact keeps secrets out of an error's text: a header or a URL may be quoted there.
func (w *web) redact(err error) error {
	text := w.hide(err.Error())
	if text == err.Error() {
		return err
	}
	return &redacted{text, err}
}

// hide is text without secrets.
func (w *web) hide(text string) string {
	for _, s := range w.spec.Secrets() {
		text = strings.ReplaceAll(text, s, "(secret)")
	}
	return text
}

// A redacted error reads without secrets. Its causes can be asked for; their texts are
// not to be shown.
type redacted struct {
	text string
	err  error
}

func (e *redacted) Error() string { return e.text }

func (e *redacted) Unwrap() error { return e.err }

// retryAfter reads a Retry-After header: seconds, or a date (RFC 9110, 10.2.3).
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

func (w *web) close() { w.client.CloseIdleConnections() }
