package output

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net/http"
	"net/url"
	"sync"

	"github.com/logcatchsys/logcatchsys/internal/record"
)

// elasticsearch sends records to Elasticsearch or OpenSearch, by the _bulk API:
// https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-bulk
//
// Each record is a document that is created, never overwritten, under its own id: one
// that is sent again meets itself (409), and so an index holds it once. Indices and
// data streams take the same requests.
type elasticsearch struct {
	*courier
	web       *web
	log       *slog.Logger
	host      string
	index     template
	labels    sync.Map // of sources, as they stand in documents, by Batch.Labels
	endpoints []endpoint
	at        int // the endpoint that is in use
}

// An endpoint is a node of the cluster, or what stands before it.
type endpoint struct{ base, bulk string }

// bulkFilter has only that answered which is read here. Each item keeps its status, so
// that the answer has one item for each record.
const bulkFilter = "filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason"

const ndjson = "application/x-ndjson"

func openElasticsearch(spec Spec, env Env) (Output, error) {
	o, err := newElasticsearch(spec, env)
	if err != nil {
		return nil, err
	}
	o.courier, err = newCourier(spec, env, o.send)
	return o, err
}

// newElasticsearch gives one that cannot send records yet.
func newElasticsearch(spec Spec, env Env) (*elasticsearch, error) {
	o := &elasticsearch{log: env.Log, host: env.Host}
	var err error
	if o.index, err = parseTemplate("index", spec.Index); err != nil {
		return nil, err
	}
	for _, e := range spec.Endpoints {
		u, err := url.Parse(e)
		if err != nil {
			return nil, errors.New("endpoints: one of them is not a URL")
		}
		o.endpoints = append(o.endpoints, endpoint{e, u.JoinPath("_bulk").String() + "?" + bulkFilter})
	}
	if len(o.endpoints) == 0 {
		return nil, errors.New("endpoints: none is named")
	}
	// Many collectors shall not all begin with the endpoint that is written first.
	h := fnv.New32a()
	_, _ = h.Write([]byte(env.Host))
	o.at = int(h.Sum32() % uint32(len(o.endpoints)))
	if o.web, err = newWeb(spec, env); err != nil {
		return nil, err
	}
	// Not sent: it tells net/http that a request may be sent again when a connection that
	// was kept turns out to be closed. The ids see to that.
	o.web.header["X-Idempotency-Key"] = nil
	return o, nil
}

// send stays with one endpoint as long as it answers: its connection is warm, and any
// node of a cluster passes records on to where they belong. One that cannot be reached,
// or that says it is not able to (502, 503, 504), is left for the next.
func (o *elasticsearch) send(ctx context.Context, r *request) error {
	body, n := r.body(), r.count()
	var failed error
	for range o.endpoints {
		e := o.endpoints[o.at]
		a, err := o.web.send(ctx, http.MethodPost, e.bulk, ndjson, body, longestAnswer(n, len(body)))
		switch {
		case err != nil:
			err = fmt.Errorf("%s: %w", e.base, explained(bare(err)))
		case a.status < http.StatusBadGateway || a.status > http.StatusGatewayTimeout:
			if failed != nil {
				o.log.Warn(fmt.Sprintf("output %s: %v; going on with %s", o.spec.Name, failed, e.base))
			}
			return o.judge(ctx, e, a, r)
		default:
			err = o.web.verdict(a, e.base)
		}
		failed = also(failed, err)
		o.at = (o.at + 1) % len(o.endpoints)
		if ctx.Err() != nil {
			break
		}
	}
	return failed
}

// also is both errors, in one line.
func also(err, next error) error {
	if err == nil {
		return next
	}
	return fmt.Errorf("%w; %w", err, next)
}

// bare is err without the method and the URL that net/http puts before it.
func bare(err error) error {
	if u, ok := err.(*url.Error); ok { // not one within: that may hold a secret
		return u.Err
	}
	return err
}

// longestAnswer bounds the body of an answer, in bytes. An item that failed is told at
// some length, and may quote the record.
func longestAnswer(records, bytes int) int64 {
	return 1<<20 + 2<<10*int64(records) + 2*int64(bytes)
}

// judge settles the records of a request by the answer to it.
func (o *elasticsearch) judge(ctx context.Context, e endpoint, a *answer, r *request) error {
	if a.status/100 == 2 {
		return o.sort(e, a, r)
	}
	err := o.web.verdict(a, e.base)
	var no *refusal
	if errors.As(err, &no) && no.label == refused {
		// A record that is not good is refused by its own item. Here the request itself is
		// not understood: it is not sorry for the records, unless it takes one without any.
		if ferr := o.try(ctx, e); ferr != nil {
			return ferr
		}
	}
	return err
}

// try sends a request without records, which is answered with 400, and this reason.
func (o *elasticsearch) try(ctx context.Context, e endpoint) error {
	a, err := o.web.send(ctx, http.MethodPost, e.bulk, ndjson, []byte("\n"), tallAnswer)
	if err != nil {
		return fmt.Errorf("%s: %w", e.base, explained(bare(err)))
	}
	if a.status == http.StatusBadRequest && missesRecords(a.body) {
		return nil
	}
	err = o.web.verdict(a, e.base)
	var no *refusal
	if errors.As(err, &no) {
		return fmt.Errorf("%s does not take _bulk requests: %s", e.base, o.web.said(a))
	}
	return err
}

func (o *elasticsearch) Close() error {
	o.web.close()
	return o.courier.Close()
}

// Encode makes an action and a document, a line each, for every record. What is the same
// for the whole batch is made once.
func (o *elasticsearch) Encode(b *record.Batch) {
	text, id := o.envelope(b)
	b.Encode(len(b.Data)+(b.Count+1)*(len(text)+64), func(out []byte, offset int64, message []byte) []byte {
		return appendDocument(out, text[:id], text[id:], offset, message)
	})
}
