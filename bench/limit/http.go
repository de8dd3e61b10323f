package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/klauspost/compress/gzip"

	"github.com/logcatchsys/logcatchsys/internal/record"
)

// A parcel is the body of one request.
type parcel struct {
	body []byte
	buf  bytes.Buffer // memory of a body that is compressed
}

// One is sent while the other is made.
const parcels = 2

// sendHTTP sends bodies one after another, each when the one before is accepted: anything else could
// bring them in another order. The next is compressed meanwhile.
func sendHTTP(o options) error {
	c, err := load(o, record.NewLines)
	if err != nil {
		return err
	}
	ready, spare := make(chan *parcel, parcels), make(chan *parcel, parcels)
	for range parcels {
		spare <- new(parcel)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	prepared := make(chan error, 1)
	go func() {
		defer close(ready)
		prepared <- prepare(ctx, o, c.bodies(), spare, ready)
	}()
	for p := range ready {
		if err := post(o, p.body); err != nil {
			return err
		}
		spare <- p
	}
	return <-prepared
}

// prepare makes the bodies until all records are in one.
func prepare(ctx context.Context, o options, bodies [][]byte, spare <-chan *parcel, ready chan<- *parcel) error {
	counts := make([]uint64, len(bodies))
	for i, body := range bodies {
		counts[i] = uint64(bytes.Count(body, []byte("\n")))
	}
	z, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil {
		return err
	}
	for i, left := 0, o.lines; left > 0; i = (i + 1) % len(bodies) {
		body := bodies[i]
		if counts[i] > left {
			body = firstLines(body, left)
		}
		left -= min(counts[i], left)
		var p *parcel
		select {
		case p = <-spare:
		case <-ctx.Done():
			return ctx.Err()
		}
		if o.compression == "gzip" {
			p.buf.Reset()
			z.Reset(&p.buf)
			_, err := z.Write(body)
			if err = errors.Join(err, z.Close()); err != nil {
				return fmt.Errorf("compressing: %w", err)
			}
			body = p.buf.Bytes()
		}
		p.body = body
		ready <- p // has room for all there are
	}
	return nil
}

// post sends a body, and waits for its being accepted. net/http may still look for the end of its reader
// then: each has one of its own.
func post(o options, body []byte) error {
	q, err := http.NewRequest(http.MethodPost, "http://"+o.address+"/", bytes.NewReader(body))
	if err != nil {
		return err
	}
	q.Header.Set("Content-Type", "application/x-ndjson")
	if o.compression == "gzip" {
		q.Header.Set("Content-Encoding", "gzip")
	}
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return err
	}
	if r.StatusCode/100 != 2 {
		return fmt.Errorf("the far end answers %s", r.Status)
	}
	return nil
}
