package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
)

// httpSink counts the lines of the bodies that it is sent.
type httpSink struct {
	listener net.Listener
	server   *http.Server
	lines    atomic.Uint64
	bytes    atomic.Uint64
	spare    sync.Pool // of *reader
}

// A reader is the memory to read a body with.
type reader struct {
	buf  []byte
	gzip *gzip.Reader
}

func newHTTP(string) (farEnd, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &httpSink{listener: l}
	s.spare.New = func() any { return &reader{buf: make([]byte, 256<<10), gzip: new(gzip.Reader)} }
	s.server = &http.Server{Handler: s}
	go s.server.Serve(l)
	return s, nil
}

func (s *httpSink) addr() string { return s.listener.Addr().String() }

func (s *httpSink) count() (tally, error) { return tally{s.lines.Load(), s.bytes.Load()}, nil }

func (s *httpSink) close() { s.server.Close() }

func (s *httpSink) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	if q.ContentLength < 0 {
		http.Error(w, "how long is it?", http.StatusLengthRequired)
		return
	}
	r := s.spare.Get().(*reader)
	defer s.spare.Put(r)
	n, err := r.count(q)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.lines.Add(n)
	s.bytes.Add(uint64(q.ContentLength))
	w.WriteHeader(http.StatusNoContent)
}

// count is how many lines the body of a request has.
func (r *reader) count(q *http.Request) (lines uint64, err error) {
	body := io.Reader(q.Body)
	switch encoding := q.Header.Get("Content-Encoding"); encoding {
	case "":
	case "gzip":
		if err := r.gzip.Reset(body); err != nil {
			return 0, err
		}
		body = r.gzip
	default:
		return 0, fmt.Errorf("unknown encoding %q", encoding)
	}
	for {
		n, err := body.Read(r.buf)
		lines += uint64(bytes.Count(r.buf[:n], []byte("\n")))
		if errors.Is(err, io.EOF) {
			return lines, nil
		}
		if err != nil {
			return 0, err
		}
	}
}
