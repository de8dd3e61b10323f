package output

import (
	"context"
	"fmt"
	"net/http"

	"github.com/logcatchsys/logcatchsys/internal/record"
)

// httpOutput sends records to any URL, in one body as lines: json with the record's
// id (NDJSON), text, or raw. Any 2xx answer accepts all of a body; one that got lost
// on its way is sent again, so the far end may see records twice, with the same ids.
type httpOutput struct {
	*courier
	*record.Format
	web         *web
	contentType string
}

func openHTTP(spec Spec, env Env) (Output, error) {
	web, err := newWeb(spec, env)
	if err != nil {
		return nil, err
	}
	o := &httpOutput{web: web, contentType: "text/plain; charset=utf-8"}
	if o.Format, err = record.NewLines(spec.Format, env.Host); err != nil {
		return nil, err
	}
	if spec.Format == "json" {
		o.contentType = "application/x-ndjson"
	}
	o.courier, err = newCourier(spec, env, o.send)
	return o, err
}

func (o *httpOutput) send(ctx context.Context, r *request) error {
	a, err := o.web.send(ctx, o.spec.Method, o.spec.URL, o.contentType, r.body(), tallAnswer)
	if err != nil {
		return fmt.Errorf("%s: %w", o.web.hide(o.spec.URL), explained(err))
	}
	return o.web.verdict(a, o.spec.URL)
}

func (o *httpOutput) Close() error {
	o.web.close()
	return o.courier.Close()
}

// probeHTTP sends a request without a record. A far end that misses one (400) is one
// that let us in.
func probeHTTP(ctx context.Context, spec Spec, env Env, _ []*record.Batch) error {
	spec.Compression = "none"
	web, err := newWeb(spec, env)
	if err != nil {
		return err
	}
	defer web.close()
	a, err := web.send(ctx, spec.Method, spec.URL, "application/x-ndjson", nil, tallAnswer)
	if err != nil {
		return fmt.Errorf("%s: %w", web.hide(spec.URL), explained(err))
	}
	if wantsTLS(a.body) {
		return web.verdict(a, spec.URL)
	}
	switch a.status {
	case http.StatusBadRequest, http.StatusLengthRequired, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		return nil
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return fmt.Errorf("%s answers %s: are the path and the method right?", web.hide(spec.URL), web.said(a))
	}
	return web.verdict(a, spec.URL)
}
