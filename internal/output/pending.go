package output

import (
	"sync/atomic"

	"github.com/logcatchsys/logcatchsys/internal/checkpoint"
	"github.com/logcatchsys/logcatchsys/internal/record"
)

// pending is what is written but not committed: of each key the last mark.
type pending struct {
	keys    map[string]*waiting // of a pipe, which has no key, by its generation
	spare   []*waiting
	pos     []checkpoint.Entry
	flushed bool // the output gave undo for it: to be committed before the next Write
	undo    []byte
}

type waiting struct {
	mark           []byte
	positioned     bool // not so what came from a pipe: it has no position to commit
	source         string
	accepted       *atomic.Int64
	to             int64
	bytes, records int
}

func newPending() pending { return pending{keys: map[string]*waiting{}} }

func (p *pending) empty() bool { return len(p.keys) == 0 }

func (p *pending) add(b *record.Batch) {
	key := b.Key
	if key == "" {
		key = b.Gen
	}
	w := p.keys[key]
	if w == nil {
		w = p.take()
		p.keys[key] = w
	}
	w.positioned = b.Key != ""
	w.mark = append(w.mark[:0], b.Mark...)
	w.source, w.accepted, w.to = b.Source, b.Accepted, b.To()
	w.bytes += len(b.Data)
	w.records += b.Count
}

func (p *pending) take() *waiting {
	n := len(p.spare)
	if n == 0 {
		return new(waiting)
	}
	w := p.spare[n-1]
	p.spare = p.spare[:n-1]
	return w
}

func (p *pending) entries() []checkpoint.Entry {
	p.pos = p.pos[:0]
	for key, w := range p.keys {
		if !w.positioned {
			continue
		}
		p.pos = append(p.pos, checkpoint.Entry{Key: key, Value: w.mark})
	}
	return p.pos
}

// done tells whom it concerns that all of it is committed, and starts anew.
func (p *pending) done(hooks Hooks) {
	for _, w := range p.keys {
		if w.accepted != nil {
			w.accepted.Store(w.to)
		}
	}
	for _, w := range p.keys {
		if hooks.Delivered != nil {
			hooks.Delivered(w.source, w.bytes, w.records)
		}
		if hooks.Committed != nil {
			hooks.Committed(w.source)
		}
		*w = waiting{mark: w.mark[:0]}
		if len(p.spare) < batches {
			p.spare = append(p.spare, w)
		}
	}
	clear(p.keys)
	p.flushed, p.undo = false, nil
}
