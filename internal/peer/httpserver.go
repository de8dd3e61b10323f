package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// A Fault is asked about every request when all of it is there, by several goroutines. A
// status other than 0 is the answer, with these headers, and nothing is taken. It may
// wait (until the request's context ends, as it does when the server is killed), look
// (and answer 0), or panic with http.ErrAbortHandler: then the connection is cut.
type Fault func(r *http.Request) (status int, header http.Header)

// A reply is the answer to a request.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// An httpServer is what the far ends that speak HTTP have in common. They embed it: it
// has their Start, Stop, Kill and Close.
type httpServer struct {
	addr  string
	fault atomic.Pointer[Fault]

	// take keeps what a request holds, and says what the answer is. Its body is
	// decompressed. One at a time is called, with mu held, and none after a Kill.
	take func(r *http.Request, body []byte) reply
	mu   sync.Mutex

	server   *http.Server // nil: down
	die      context.CancelFunc
	patience time.Duration  // of Stop
	serving  sync.WaitGroup // Serve and the requests; added to only before die, with mu held
}

// newHTTPServer chooses an address; the server is down.
func newHTTPServer(take func(r *http.Request, body []byte) reply) (*httpServer, error) {
	addr, err := FreeAddr()
	return &httpServer{addr: addr, take: take, patience: time.Second}, err
}

// SetFault has every request ask f from now on; nil: none does.
func (s *httpServer) SetFault(f Fault) {
	if f == nil {
		s.fault.Store(nil)
		return
	}
	s.fault.Store(&f)
}

// Start listens.
func (s *httpServer) Start() error {
	if s.server != nil {
		return errors.New("the server is up")
	}
	l, err := listen(s.addr)
	if err != nil {
		return err
	}
	life, die := context.WithCancel(context.Background())
	s.die = die
	s.server = &http.Server{
		Handler:     s.handler(life),
		BaseContext: func(net.Listener) context.Context { return life },
		ErrorLog:    log.New(io.Discard, "", 0), // cut connections are what it is for
	}
	server := s.server
	s.serving.Go(func() { _ = server.Serve(l) }) // ends by Stop or Kill
	return nil
}

// Stop answers what is there and closes; what takes longer than its patience, a second, is
// cut off. No error if it is down.
func (s *httpServer) Stop() error {
	if s.server == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.patience)
	defer cancel()
	if err := s.server.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("stopping the server: %w", err)
	}
	return s.Kill()
}

// Kill cuts all connections; no error if it is down.
func (s *httpServer) Kill() error {
	if s.server == nil {
		return nil
	}
	s.mu.Lock() // no request is half taken, and none begins or is taken from here on
	s.die()
	s.mu.Unlock()
	err := s.server.Close()
	s.serving.Wait()
	s.server = nil
	return err
}

// Close is Kill: nothing is left then.
func (s *httpServer) Close() error { return s.Kill() }

// handler answers requests while life lasts.
func (s *httpServer) handler(life context.Context) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.begin(life)
		defer s.serving.Done()
		answer := s.answer(life, r)
		maps.Copy(w.Header(), answer.header)
		w.WriteHeader(answer.status)
		_, _ = w.Write(answer.body) // who has gone needs no answer
	})
}

// begin counts a request, unless the server was killed.
func (s *httpServer) begin(life context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if life.Err() != nil {
		panic(http.ErrAbortHandler) // as net/http wants it: the connection is cut
	}
	s.serving.Add(1)
}

// answer is what becomes of a request; it panics like begin if the server is killed.
func (s *httpServer) answer(life context.Context, r *http.Request) reply {
	body, err := content(r)
	if err != nil {
		return refusal(err)
	}
	if f := s.fault.Load(); f != nil {
		if status, header := (*f)(r); status != 0 {
			return reply{status: status, header: header}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if life.Err() != nil {
		panic(http.ErrAbortHandler)
	}
	return s.take(r, body)
}

// refusal is a 400 that says why.
func refusal(err error) reply {
	return reply{status: http.StatusBadRequest, body: []byte(err.Error() + "\n")}
}

// content reads the body, which may be compressed.
func content(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, fmt.Errorf("reading the body: %w", err)
	}
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
		return body, nil
	case "gzip":
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err == nil {
			body, err = io.ReadAll(z)
		}
		if err != nil {
			return nil, fmt.Errorf("decompressing the body: %w", err)
		}
		return body, nil
	case "zstd":
		z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		defer z.Close()
		if body, err = z.DecodeAll(body, nil); err != nil {
			return nil, fmt.Errorf("decompressing the body: %w", err)
		}
		return body, nil
	default:
		return nil, fmt.Errorf("content encoding %q is unknown", encoding)
	}
}
