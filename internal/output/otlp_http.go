package output

import (
	"context"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

const (
	otlpPath    = "/v1/logs"
	otlpContent = "application/x-protobuf"
	otlpAnswer  = 1 << 20 // enough of an answer: it is read as a whole, or not understood
)

// otlpHTTP is the client of OTLP over HTTP, with protobuf.
type otlpHTTP struct {
	web *web
	url string
}

func newOTLPHTTP(spec Spec, env Env) (*otlpHTTP, error) {
	u, err := url.Parse(spec.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("endpoint: %w", err)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = otlpPath
	}
	web, err := newWeb(spec, env)
	return &otlpHTTP{web, u.String()}, err
}

func (h *otlpHTTP) export(ctx context.Context, body []byte) (otlpPartial, error) {
	a, err := h.web.send(ctx, http.MethodPost, h.url, otlpContent, body, otlpAnswer)
	if err != nil {
		return otlpPartial{}, h.failure(err)
	}
	kind, _, _ := mime.ParseMediaType(a.header.Get("Content-Type"))
	if a.status/100 == 2 {
		switch kind {
		case otlpContent:
			return readOTLPAnswer(h.web.spec, a.body)
		case "text/html": // a page for the eye: nobody has taken the records
			return otlpPartial{}, fmt.Errorf("%s answers with a web page: does it speak OTLP?", h.url)
		}
		return otlpPartial{}, nil
	}
	if kind == otlpContent {
		if message, err := parseOTLPStatus(a.body); err == nil {
			a.body = []byte(message)
		}
	}
	err = h.web.verdict(a, h.url)
	if a.status == http.StatusInternalServerError {
		err = &otlpDoubt{err}
	}
	return otlpPartial{}, err
}

// failure is why there is no answer. A gRPC server answers HTTP/1 with a frame of HTTP/2.
func (h *otlpHTTP) failure(err error) error {
	if strings.Contains(err.Error(), "malformed HTTP") {
		err = &explanation{"the other end does not speak HTTP/1; if it is a gRPC port, write protocol: grpc", err}
	}
	return fmt.Errorf("%s: %w", h.web.hide(h.url), explained(err))
}

func (h *otlpHTTP) close() { h.web.close() }
