package peer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

func init() { register("http", newHTTP) }

// HTTP is the far end of type http: it takes batches of JSON lines, each one whole or
// not at all. What it holds stays over Kill, as if it were on a disk.
type HTTP struct {
	*httpServer
	messages []byte // each with a line end; guarded by mu
}

func newHTTP(string) (Peer, error) {
	h := &HTTP{}
	var err error
	h.httpServer, err = newHTTPServer(h.keep)
	return h, err
}

// Config has no more than the URL.
func (h *HTTP) Config() string { return fmt.Sprintf("{type: http, url: 'http://%s/in'}", h.addr) }

// Dump writes the message of each record.
func (h *HTTP) Dump(w io.Writer) error {
	h.mu.Lock()
	messages := bytes.Clone(h.messages)
	h.mu.Unlock()
	_, err := w.Write(messages)
	return err
}

func (h *HTTP) keep(r *http.Request, body []byte) reply {
	before := len(h.messages)
	if err := h.append(body); err != nil {
		h.messages = h.messages[:before]
		return refusal(err)
	}
	return reply{status: http.StatusOK}
}

// append takes the messages up to the first line that is no record.
func (h *HTTP) append(body []byte) error {
	n := 0
	for line := range bytes.Lines(body) {
		n++
		var record struct{ Message *string }
		if err := json.Unmarshal(line, &record); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if record.Message == nil || line[len(line)-1] != '\n' {
			return fmt.Errorf("line %d: no message, or no line end", n)
		}
		h.messages = append(append(h.messages, *record.Message...), '\n')
	}
	if n == 0 {
		return errors.New("an empty batch")
	}
	return nil
}
