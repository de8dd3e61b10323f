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
	ids    bool   // json: with the record's id
}

// A new format is one line here.
var formats = map[string]func(*Format, *Batch){
	"text":     (*Format).text,
	"raw":      (*Format).raw,
	"json":     (*Format).json,
	"terminal": (*Format).terminal,
}

// Those for outputs that take single records.
var messages = map[string]func(*Format, *Batch){
	"text": (*Format).textMessages,
	"raw":  (*Format).rawMessages,
	"json": (*Format).jsonMessages,
}

// Those for outputs that take many records in one body.
var bodies = map[string]func(*Format, *Batch){
	"text": (*Format).textLines,
	"raw":  (*Format).rawLines,
	"json": (*Format).jsonLines,
}

// NewMessages gives the format called name, text, raw or json, for outputs that take
// single records: Encode sets the batch's Spans too, and no record has a line end.
func NewMessages(name, host string) (*Format, error) { return newFormat(messages, name, host) }

// NewLines gives the format called name, text, raw or json, for outputs that take
// lines but must know where each record is: Encode sets the batch's Spans too, each
// record has a line end, and json has the record's id.
func NewLines(name, host string) (*Format, error) {
	f, err := newFormat(bodies, name, host)
	if f != nil {
		f.ids = true
	}
	return f, err
}

// NewFormat gives the format called name: text, raw, json, or terminal (text for
// the eye). host is the machine's name, for json. The error lists the names.
func NewFormat(name, host string) (*Format, error) { return newFormat(formats, name, host) }

func newFormat(formats map[string]func(*Format, *Batch), name, host string) (*Format, error) {
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

func (f *Format) textMessages(b *Batch) { b.messages(b.Source+": ", "") }

func (f *Format) rawMessages(b *Batch) { b.messages("", "") }

func (f *Format) textLines(b *Batch) { b.messages(b.Source+": ", "\n") }

func (f *Format) rawLines(b *Batch) { b.messages("", "\n") }

// messages sets Out to the messages, each with what stands before and behind it.
func (b *Batch) messages(before, behind string) {
	b.Encode(len(b.Data)+(b.Count+1)*(len(before)+len(behind)), func(out []byte, _ int64, message []byte) []byte {
		out = append(out, before...)
		out = append(out, message...)
		return append(out, behind...)
	})
}

func (b *Batch) set(out []byte) { b.Out, b.buf = out, out }
