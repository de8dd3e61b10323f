package peer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
)

func init() { register("elasticsearch", newElasticsearch) }

// Elasticsearch stands in for Elasticsearch and OpenSearch, which need more than a test
// machine has. It knows of _bulk what collectors use: documents that are created, each id
// once in an index, and an outcome for every item. What it holds stays over Kill, as if
// it were on a disk.
type Elasticsearch struct {
	*httpServer
	documents []Document      // in the order in which they came; guarded by mu
	ids       map[string]bool // index and id of each; guarded by mu
	fault     atomic.Pointer[ItemFault]
}

// A Document is what an index holds under an id.
type Document struct {
	Index, ID string
	Source    json.RawMessage
}

// An ItemFault is asked about every item that would be created. A status other than 0 is
// its outcome, with the type of the error, and it is not created.
type ItemFault func(d Document) (status int, kind string)

func newElasticsearch(string) (Peer, error) {
	e := &Elasticsearch{ids: map[string]bool{}}
	var err error
	e.httpServer, err = newHTTPServer(e.take)
	return e, err
}

// URL is where it is.
func (e *Elasticsearch) URL() string { return "http://" + e.addr }

// Config has one index a source: where dates are in the name, an id is once a day.
func (e *Elasticsearch) Config() string {
	return fmt.Sprintf("{type: elasticsearch, endpoints: ['%s'], index: 'logs-{source}'}", e.URL())
}

// SetItemFault has f asked about every item from now on; nil: nobody is.
func (e *Elasticsearch) SetItemFault(f ItemFault) {
	if f == nil {
		e.fault.Store(nil)
		return
	}
	e.fault.Store(&f)
}

// Documents are all that it holds.
func (e *Elasticsearch) Documents() []Document {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.documents)
}

// Dump writes the message of each document.
func (e *Elasticsearch) Dump(w io.Writer) error {
	var all bytes.Buffer
	for _, d := range e.Documents() {
		var source struct{ Message string }
		if err := json.Unmarshal(d.Source, &source); err != nil {
			return fmt.Errorf("document %s: %w", d.ID, err)
		}
		all.WriteString(source.Message + "\n")
	}
	_, err := w.Write(all.Bytes())
	return err
}

func (e *Elasticsearch) take(r *http.Request, body []byte) reply {
	switch {
	case r.Method == http.MethodGet && r.URL.Path == "/":
		return said(http.StatusOK, map[string]any{"version": map[string]any{"number": "8.15.0"}, "tagline": "You Know, for Search"})
	case r.Method == http.MethodPost && r.URL.Path == "/_bulk":
		return e.bulk(body, r.URL.Query().Get("filter_path") != "")
	}
	return failed(http.StatusBadRequest, "no handler found for uri ["+r.URL.Path+"]")
}

// bulk answers for each item, or refuses the request.
func (e *Elasticsearch) bulk(body []byte, filtered bool) reply {
	items, err := itemsOf(body)
	if err != nil {
		return failed(http.StatusBadRequest, err.Error())
	}
	answer := map[string]any{"errors": false}
	var outcomes []any
	for _, d := range items {
		status, kind := e.create(d)
		one := map[string]any{"status": status}
		if status != http.StatusCreated {
			answer["errors"] = true
			one["error"] = map[string]any{"type": kind, "reason": "[" + d.ID + "]: not created"}
		}
		if !filtered {
			one["_index"], one["_id"], one["_version"] = d.Index, d.ID, 1
		}
		outcomes = append(outcomes, map[string]any{"create": one})
	}
	answer["items"] = outcomes
	if !filtered {
		answer["took"] = 1
	}
	return said(http.StatusOK, answer)
}

// create is the outcome of one item.
func (e *Elasticsearch) create(d Document) (status int, kind string) {
	if !legalIndex(d.Index) {
		return http.StatusBadRequest, "invalid_index_name_exception"
	}
	if kind := misfit(d.Source); kind != "" {
		return http.StatusBadRequest, kind
	}
	key := d.Index + "\x00" + d.ID
	if e.ids[key] {
		return http.StatusConflict, "version_conflict_engine_exception"
	}
	if f := e.fault.Load(); f != nil {
		if status, kind := (*f)(d); status != 0 {
			return status, kind
		}
	}
	e.ids[key] = true
	e.documents = append(e.documents, d)
	return http.StatusCreated, ""
}

// An itemAction is the first line of an item.
type itemAction struct {
	Create *struct {
		Index string `json:"_index"`
		ID    string `json:"_id"`
	}
}

// itemsOf reads a body: a line with an action, a line with a document, and so on.
func itemsOf(body []byte) ([]Document, error) {
	if len(body) == 0 {
		return nil, errors.New("request body is required")
	}
	if body[len(body)-1] != '\n' {
		return nil, errors.New("the bulk request must be terminated by a newline")
	}
	var items []Document
	lines := bytes.Split(bytes.TrimSpace(body), []byte("\n"))
	for ; len(lines) > 1; lines = lines[2:] {
		var action itemAction
		switch err := json.Unmarshal(lines[0], &action); {
		case err != nil:
			return nil, fmt.Errorf("malformed action/metadata line [%d]: %w", len(items)+1, err)
		case action.Create == nil || action.Create.ID == "":
			return nil, errors.New("only the creation of documents with ids is known")
		case len(action.Create.ID) > 512:
			return nil, fmt.Errorf("id is too long, must be no longer than 512 bytes but was: %d", len(action.Create.ID))
		}
		items = append(items, Document{action.Create.Index, action.Create.ID, bytes.Clone(lines[1])})
	}
	if len(lines) == 1 && len(lines[0]) > 0 {
		return nil, errors.New("an action without a document")
	}
	if len(items) == 0 {
		return nil, errors.New("validation failed: 1: no requests added;")
	}
	return items, nil
}

// misfit is the type of the error of what is no document of a log.
func misfit(source []byte) string {
	var d struct {
		Timestamp string `json:"@timestamp"`
		Message   *string
	}
	if json.Unmarshal(source, &d) != nil || d.Timestamp == "" || d.Message == nil {
		return "document_parsing_exception"
	}
	return ""
}

var (
	illegalBegin  = regexp.MustCompile(`^[-_+]|^\.\.?$`)
	illegalInside = regexp.MustCompile(`[\\/*?"<>| ,#:[:cntrl:]]`)
)

// legalIndex says what Elasticsearch does of a name.
func legalIndex(name string) bool {
	return name != "" && len(name) <= 255 && name == strings.ToLower(name) &&
		!illegalBegin.MatchString(name) && !illegalInside.MatchString(name)
}

func failed(status int, reason string) reply {
	return said(status, map[string]any{"error": map[string]any{"reason": reason}, "status": status})
}

func said(status int, what any) reply {
	body, err := json.Marshal(what)
	if err != nil {
		return refusal(err)
	}
	return reply{status: status, body: body}
}
