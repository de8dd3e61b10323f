package record

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A Format turns batches into the bytes that an output delivers. It is made once
// for an output and never changes, so that followers may use it side by side.
type Format struct {
	encode func(*Format, *Batch)
	head   string // json: what stands between timestamp and source
	color  bool   // terminal: a colour for each source
}

// A new format is one line here.
var formats = map[string]func(*Format, *Batch){
	"text":     (*Format).text,
	"raw":      (*Format).raw,
	"json":     (*Format).json,
	"terminal": (*Format).terminal,
}

// NewFormat gives the format called name: text, raw, json, or terminal (text for
// the eye). host is the machine's name, for json. The error lists the names.
func NewFormat(name, host string) (*Format, error) {
	encode, ok := formats[name]
	if !ok {
		names := slices.Sorted(maps.Keys(formats))
		return nil, fmt.Errorf("unknown format %q: one of %s", name, strings.Join(names, ", "))
	}
	return &Format{encode: encode, head: jsonHead(host), color: colors()}, nil
}

// Encode sets b.Out to b's records in this format. Memory is b's own and is used
// again; nothing is allocated once it has grown to what such batches need.
func (f *Format) Encode(b *Batch) { f.encode(f, b) }

// text is "<source>: <message>\n" for each record; each piece of an over-long
// line is one of its own.
func (f *Format) text(b *Batch) {
	out := slices.Grow(b.buf[:0], len(b.Data)+(b.Count+1)*(len(b.Source)+3))
	b.Each(func(_ int64, message []byte) bool {
		out = append(out, b.Source...)
		out = append(out, ": "...)
		out = append(out, message...)
		out = append(out, '\n')
		return true
	})
	b.set(out)
}

// raw is the bytes as they stand in the file. Mostly that is Data itself: only
// NUL runs at the start of a line, and a missing last line end, need a copy.
func (f *Format) raw(b *Batch) {
	more := b.Partial != nil && !b.Partial.Last
	ends := more || len(b.Data) > 0 && b.Data[len(b.Data)-1] == '\n'
	if ends && (bytes.IndexByte(b.Data, 0) < 0 || b.Partial != nil && b.Partial.Piece > 0) {
		b.Out = b.Data
		return
	}
	out := slices.Grow(b.buf[:0], len(b.Data)+1)
	b.Each(func(offset int64, message []byte) bool {
		// The line's own end, '\n' or "\r\n", stands behind the message.
		at := int(offset - b.From)
		end := at + len(message)
		if i := bytes.IndexByte(b.Data[end:], '\n'); i >= 0 {
			end += i + 1
		}
		out = append(out, b.Data[at:end]...)
		if !more && (end == at || b.Data[end-1] != '\n') {
			out = append(out, '\n')
		}
		return true
	})
	b.set(out)
}

func (b *Batch) set(out []byte) { b.Out, b.buf = out, out }
