package output

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync"
)

// A lent is the body of a request in memory that is used again once the request is
// over. net/http may go on reading a body for a moment after it has given up: from
// takeBack on, it gets an error in its place.
type lent struct {
	mu    sync.Mutex
	taken bool
}

var errTakenBack = errors.New("the request is over")

// lend makes body that of q, as often as net/http asks for it.
func lend(q *http.Request, body []byte) *lent {
	l := new(lent)
	q.ContentLength = int64(len(body))
	q.GetBody = func() (io.ReadCloser, error) { return &lentReader{l, bytes.NewReader(body)}, nil }
	q.Body, _ = q.GetBody()
	if len(body) == 0 {
		q.Body, q.GetBody = http.NoBody, func() (io.ReadCloser, error) { return http.NoBody, nil }
	}
	return l
}

func (l *lent) takeBack() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taken = true
}

type lentReader struct {
	lent *lent
	rest *bytes.Reader
}

func (r *lentReader) Read(p []byte) (int, error) {
	r.lent.mu.Lock()
	defer r.lent.mu.Unlock()
	if r.lent.taken {
		return 0, errTakenBack
	}
	return r.rest.Read(p)
}

func (r *lentReader) Close() error { return nil }
