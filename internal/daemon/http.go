package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/logcatchsys/logcatchsys/internal/status"
)

// An HTTP is the status listener, which may move to another address.
type HTTP struct {
	metrics *status.Metrics
	log     *slog.Logger
	addr    string // as configured; empty: off
	server  *status.Server
}

// NewHTTP gives a listener that is off.
func NewHTTP(m *status.Metrics, log *slog.Logger) *HTTP { return &HTTP{metrics: m, log: log} }

// Addr is the address really listened on, empty if there is none.
func (h *HTTP) Addr() string {
	if h.server == nil {
		return ""
	}
	return h.server.Addr()
}

// Move opens the listener on addr and closes the one before; on an error that one
// goes on. Without must, an address that cannot be had is warned about instead.
func (h *HTTP) Move(addr string, must bool) error {
	if addr == h.addr && (addr == "" || h.server != nil) {
		return nil
	}
	var next *status.Server
	if addr != "" {
		var err error
		if next, err = h.listen(addr); err != nil && must {
			return fmt.Errorf("http: %w; choose another address, or '' for none", err)
		} else if err != nil {
			h.log.Warn("no status page: its default address cannot be had; set http in the configuration", "error", err)
		}
	}
	h.Close()
	h.server, h.addr = next, addr
	return nil
}

// listen opens addr while the server before is open still, unless they are in each
// other's way: 127.0.0.1:9477 and :9477 are.
func (h *HTTP) listen(addr string) (*status.Server, error) {
	s, err := status.Listen(addr, h.metrics, h.log)
	if err == nil || h.server == nil || !samePort(addr, h.server.Addr()) {
		return s, err
	}
	old := h.server.Addr()
	h.Close()
	if s, err = status.Listen(addr, h.metrics, h.log); err == nil {
		return s, nil
	}
	var back error
	h.server, back = status.Listen(old, h.metrics, h.log)
	return nil, errors.Join(err, back)
}

func samePort(a, b string) bool {
	_, p, err := net.SplitHostPort(a)
	_, q, qerr := net.SplitHostPort(b)
	return err == nil && qerr == nil && p == q
}

// Close ends the listener, if there is one.
func (h *HTTP) Close() {
	if h.server == nil {
		return
	}
	if err := h.server.Close(); err != nil {
		h.log.Warn("closing", "error", err)
	}
	h.server = nil
}
