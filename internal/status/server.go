package status

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Limits of one request; what is asked for is small.
const (
	requestTime = 10 * time.Second
	idleTime    = time.Minute
	closeTime   = 500 * time.Millisecond // for requests under way when the server is closed
)

const index = "logcatchsys: /metrics for Prometheus, /healthz while the process runs,\n" +
	"/readyz while every source is followed, or waits for a file\n"

// A Server is the HTTP listener.
type Server struct {
	http *http.Server
	addr string
	done chan struct{}
}

// Listen serves m on addr, a host:port; port 0 takes any. The error is one of
// opening the listener; one that comes later is logged.
func Listen(addr string, m *Metrics, log *slog.Logger) (*Server, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("opening the status listener: %w", err)
	}
	quiet := slog.NewLogLogger(log.Handler(), slog.LevelDebug)
	s := &Server{
		http: &http.Server{
			Handler:        m.handler(quiet),
			ReadTimeout:    requestTime,
			WriteTimeout:   requestTime,
			IdleTimeout:    idleTime,
			MaxHeaderBytes: 16 << 10,
			ErrorLog:       quiet,
		},
		addr: l.Addr().String(),
		done: make(chan struct{}),
	}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("the status listener has ended", "address", s.addr, "error", err)
		}
	}()
	return s, nil
}

// Addr is the host:port listened on.
func (s *Server) Addr() string { return s.addr }

// Close ends the listener; requests under way have half a second.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.http.Close()
	}
	<-s.done
	if err != nil {
		return fmt.Errorf("closing the status listener: %w", err)
	}
	return nil
}

func (m *Metrics) handler(log promhttp.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, index) })
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", m.readyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog: log, ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 4,
	}))
	return mux
}

func (m *Metrics) readyz(w http.ResponseWriter, _ *http.Request) {
	if not := m.NotReady(); len(not) > 0 {
		answer(w, http.StatusServiceUnavailable, strings.Join(not, "\n")+"\n")
		return
	}
	answer(w, http.StatusOK, "ok\n")
}

func answer(w http.ResponseWriter, code int, text string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, text) // the client has gone: nobody to tell
}
