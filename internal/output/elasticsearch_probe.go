package output

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/logcatchsys/logcatchsys/internal/record"
)

// probeElasticsearch tries all endpoints, side by side: one that hangs does not keep the
// others from being tried.
func probeElasticsearch(ctx context.Context, spec Spec, env Env, samples []*record.Batch) error {
	errs := make([]error, len(spec.Endpoints))
	var all sync.WaitGroup
	for i, e := range spec.Endpoints {
		one := spec
		one.Endpoints = []string{e}
		all.Go(func() { errs[i] = probeEndpoint(ctx, one, env, samples) })
	}
	all.Wait()
	var failed error
	n := 0
	for _, err := range errs {
		if err != nil {
			failed = also(failed, err)
			n++
		}
	}
	if failed != nil && n < len(errs) {
		return fmt.Errorf("%d of %d endpoints: %w", n, len(errs), failed)
	}
	return failed
}

func probeEndpoint(ctx context.Context, spec Spec, env Env, samples []*record.Batch) error {
	o, err := newElasticsearch(spec, env)
	if err != nil {
		return err
	}
	defer o.web.close()
	e := o.endpoints[0]
	if err := o.probeProduct(ctx, e); err != nil {
		return err
	}
	if err := o.try(ctx, e); err != nil {
		return err
	}
	names := map[string]bool{}
	for _, b := range samples {
		names[indexName(o.index.fill(b, env.Host, nil))] = true
	}
	return o.probePrivileges(ctx, e, slices.Sorted(maps.Keys(names)))
}

// ask sends a request that is about no record.
func (o *elasticsearch) ask(ctx context.Context, method string, e endpoint, path string, body []byte) (*answer, error) {
	a, err := o.web.send(ctx, method, strings.TrimSuffix(e.base, "/")+path, "application/json", body, 1<<20)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.base, explained(bare(err)))
	}
	return a, nil
}

// probeProduct wants to hear a name that is known, and the version.
func (o *elasticsearch) probeProduct(ctx context.Context, e endpoint) error {
	a, err := o.ask(ctx, http.MethodGet, e, "/", nil)
	switch {
	case err != nil:
		return err
	case a.status == http.StatusForbidden:
		return nil // who may write need not have the right to monitor
	case a.status/100 != 2:
		return o.web.verdict(a, e.base)
	}
	var product struct {
		Version struct{ Number, Distribution string }
	}
	_ = json.Unmarshal(a.body, &product) // what is no JSON has no number
	number, _, _ := strings.Cut(product.Version.Number, ".")
	major, err := strconv.Atoi(number)
	switch {
	case err != nil:
		return fmt.Errorf("%s is neither Elasticsearch nor OpenSearch: it answers %s", e.base, o.web.said(a))
	case major < 7 && product.Version.Distribution == "":
		return fmt.Errorf("%s is Elasticsearch %s: 7.0 or newer is needed", e.base, product.Version.Number)
	}
	return nil
}

// probePrivileges asks what the credentials are good for. OpenSearch, and Elasticsearch
// without security, have no such question.
func (o *elasticsearch) probePrivileges(ctx context.Context, e endpoint, indices []string) error {
	const create, configure, createIndex = "create_doc", "auto_configure", "create_index"
	question, err := json.Marshal(map[string]any{"index": []any{
		map[string]any{"names": indices, "privileges": []string{create, configure, createIndex}},
	}})
	if err != nil || len(indices) == 0 {
		return err
	}
	a, err := o.ask(ctx, http.MethodPost, e, "/_security/user/_has_privileges", question)
	switch {
	case err != nil:
		return err
	case a.status == http.StatusUnauthorized:
		return o.web.verdict(a, e.base)
	}
	var has struct{ Index map[string]map[string]bool }
	if a.status/100 != 2 || json.Unmarshal(a.body, &has) != nil || len(has.Index) == 0 {
		return nil
	}
	for _, name := range indices {
		may := has.Index[name]
		switch {
		case !may[create]:
			return fmt.Errorf("%s: the credentials do not allow documents to be created in %s (privilege %s)", e.base, name, create)
		case may[configure] || may[createIndex]:
		default:
			if err := o.probeIndex(ctx, e, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// probeIndex is for an index that would not be created by the first record.
func (o *elasticsearch) probeIndex(ctx context.Context, e endpoint, name string) error {
	a, err := o.ask(ctx, http.MethodHead, e, "/"+url.PathEscape(name), nil)
	if err != nil {
		return err
	}
	if a.status == http.StatusNotFound {
		return errors.New(e.base + ": the index " + name + " is not there, and the credentials do not allow it to be created")
	}
	return nil // there, or not to be seen with these credentials
}
