package peer

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"

	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/snappy"
)

func init() { register("loki", newLoki) }

// loki stands in for Grafana Loki: it decodes pushes with Loki's own types and, as Loki
// does, takes two entries of a stream with one time and one line for one. What it holds
// stays over Kill, as if it were on a disk.
type loki struct {
	*httpServer
	entries map[lokiEntry]int // the number of its arrival; guarded by mu
}

type lokiEntry struct {
	stream string
	nanos  int64
	line   string
}

func newLoki(string) (Peer, error) {
	l := &loki{entries: map[lokiEntry]int{}}
	var err error
	l.httpServer, err = newHTTPServer(l.keep)
	return l, err
}

func (l *loki) Config() string {
	return fmt.Sprintf("{type: loki, url: 'http://%s/loki/api/v1/push'}", l.addr)
}

// Dump writes the lines in the order of their times, as a query shows them.
func (l *loki) Dump(w io.Writer) error {
	l.mu.Lock()
	all := maps.Clone(l.entries)
	l.mu.Unlock()
	sorted := slices.SortedFunc(maps.Keys(all), func(a, b lokiEntry) int {
		return cmp.Or(cmp.Compare(a.nanos, b.nanos), cmp.Compare(all[a], all[b]))
	})
	var text bytes.Buffer
	for _, e := range sorted {
		text.WriteString(e.line + "\n")
	}
	_, err := w.Write(text.Bytes())
	return err
}

func (l *loki) keep(r *http.Request, body []byte) reply {
	raw, err := snappy.Decode(nil, body)
	if err != nil {
		return refusal(err)
	}
	var p push.PushRequest
	if err := p.Unmarshal(raw); err != nil {
		return refusal(err)
	}
	for _, s := range p.Streams {
		for _, e := range s.Entries {
			key := lokiEntry{s.Labels, e.Timestamp.UnixNano(), e.Line}
			if _, held := l.entries[key]; !held {
				l.entries[key] = len(l.entries)
			}
		}
	}
	return reply{status: http.StatusNoContent}
}
