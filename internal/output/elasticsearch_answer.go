package output

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// An outcome is what became of one record of a _bulk request.
type outcome struct {
	Status int
	Error  struct{ Type, Reason string }
}

// What an answer looks like if all records were created; one item for each.
const (
	allGood    = `{"errors":false,"items":[`
	oneGood    = `{"create":{"status":201}}`
	allGoodEnd = `]}`
)

// created reports whether body says in so many words that n records were created. It may
// be wrong to say no.
func created(body []byte, n int) bool {
	body, begins := bytes.CutPrefix(body, []byte(allGood))
	body, ends := bytes.CutSuffix(body, []byte(allGoodEnd))
	if !begins || !ends || n < 1 || len(body) != n*(len(oneGood)+1)-1 {
		return false
	}
	for n--; n > 0; n-- {
		if string(body[:len(oneGood)]) != oneGood || body[len(oneGood)] != ',' {
			return false
		}
		body = body[len(oneGood)+1:]
	}
	return string(body) == oneGood
}

// outcomes reads an answer to n records.
func outcomes(body []byte, n int) ([]outcome, error) {
	var a struct{ Items []struct{ Create outcome } }
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, err
	}
	if len(a.Items) != n {
		return nil, fmt.Errorf("it tells of %d records, and %d were sent", len(a.Items), n)
	}
	all := make([]outcome, n)
	for i, item := range a.Items {
		all[i] = item.Create
	}
	return all, nil
}

// sort accepts, rejects, or leaves each record of a request to the next try.
func (o *elasticsearch) sort(e endpoint, a *answer, r *request) error {
	n := r.count()
	if created(a.body, n) {
		return nil
	}
	all, err := outcomes(a.body, n)
	if err != nil {
		return fmt.Errorf("%s does not answer as to a _bulk request: %w", e.base, err)
	}
	left, first := 0, ""
	next := 0
	r.each(func(i int) {
		one := all[next]
		next++
		switch one.meaning() {
		case taken:
			r.accept(i)
		case never:
			label := refused
			if one.Status == http.StatusRequestEntityTooLarge {
				label = tooLarge
			}
			r.reject(i, label, o.reason(one))
		case later:
			if left++; left == 1 {
				first = o.reason(one)
			}
		}
	})
	if left == 0 {
		return nil
	}
	// What is rejected has been told to the courier, which does not send it again.
	err = errors.New(first)
	if left < n {
		err = fmt.Errorf("%d of %d records: %w", left, n, err)
	}
	return fmt.Errorf("%s answers with %w", e.base, err)
}

// reason is an outcome in words: in one line, and without secrets.
func (o *elasticsearch) reason(one outcome) string {
	return o.web.said(&answer{status: one.Status, body: []byte(one.Error.Type + ": " + one.Error.Reason)})
}

// A meaning is what is to be done about a record.
type meaning int

const (
	taken meaning = iota // the index holds it
	later                // nothing is wrong with it
	never                // it is refused as it is
)

func (one outcome) meaning() meaning {
	switch {
	case one.Status/100 == 2:
		return taken
	case one.Status == http.StatusConflict && (one.Error.Type == "" || strings.HasPrefix(one.Error.Type, "version_conflict")):
		return taken // by an earlier request, whose answer did not arrive
	case one.Status == http.StatusRequestEntityTooLarge, one.Status == http.StatusUnprocessableEntity:
		return never
	case one.Status == http.StatusBadRequest && !one.aboutIndex():
		return never
	}
	return later
}

// Errors that come as 400 too, and are not about the record: whoever runs the cluster can
// mend them, and all records would be refused until then.
var (
	indexErrors = []string{
		"index_closed_exception", "invalid_index_name_exception", "cluster_block_exception",
		"validation_exception", // a new index, and there are as many shards as there may be
	}
	indexReasons = []string{ // of an illegal_argument_exception
		"Validation Failed", // as above, in older versions
		"no write index is defined", "pipeline with id [",
	}
)

func (one outcome) aboutIndex() bool {
	if one.Error.Type != "illegal_argument_exception" {
		return slices.Contains(indexErrors, one.Error.Type)
	}
	return slices.ContainsFunc(indexReasons, func(s string) bool { return strings.Contains(one.Error.Reason, s) })
}

// missesRecords reports whether the body of a 400 says that the request was understood,
// and had no records.
func missesRecords(body []byte) bool {
	return bytes.Contains(body, []byte("no requests added")) || bytes.Contains(body, []byte("request body is required"))
}
