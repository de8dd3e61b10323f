package record

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"strconv"
	"unicode/utf8"
)

const stamp = "2006-01-02T15:04:05.000000000Z07:00"

func jsonHead(host string) string {
	return `","host":"` + string(appendEscaped(nil, []byte(host))) + `","source":"`
}

// json is one object a line.
func (f *Format) json(b *Batch) { f.objects(b, "}\n", nil) }

// jsonLines is json with spans.
func (f *Format) jsonLines(b *Batch) { f.withSpans(b, "}\n") }

// jsonMessages is an object a record, without line ends, and with spans.
func (f *Format) jsonMessages(b *Batch) { f.withSpans(b, "}") }

func (f *Format) withSpans(b *Batch, end string) {
	spans := b.Spans[:0]
	f.objects(b, end, func(offset int64, end int) { spans = append(spans, Span{offset, end}) })
	b.Spans = spans
}

// objects encodes b as one object a record, each with end at its end, and tells span,
// unless it is nil, where each ends. What is the same for the whole batch is written
// once, at the start of the buffer, and copied from there for the other records.
func (f *Format) objects(b *Batch, end string, span func(offset int64, end int)) {
	out := append(b.buf[:0], `{"timestamp":"`...)
	out = b.Read.UTC().AppendFormat(out, stamp)
	out = append(out, f.head...)
	out = appendEscapedString(out, b.Source)
	out = append(out, `","file":"`...)
	out = appendEscapedString(out, b.File)
	out = append(out, `","offset":`...)
	head := len(out)
	out = slices.Grow(out, len(b.Data)+(b.Count+1)*(head+len(b.Labels)+64))

	var room [64]byte
	id := f.idHead(room[:0], b)

	first := true
	b.Each(func(offset int64, message []byte) bool {
		if !first {
			out = append(out, out[:head]...)
		}
		first = false
		from := len(out)
		out = strconv.AppendInt(out, offset, 10)
		to := len(out)
		out = append(out, `,"message":"`...)
		out = appendEscaped(out, message)
		out = append(out, '"')
		out = b.rest(out)
		if f.ids {
			out = append(out, id...)
			out = append(out, out[from:to]...)
			out = append(out, '"')
		}
		out = append(out, end...)
		if span != nil {
			span(offset, len(out))
		}
		return true
	})
	if first {
		out = out[:0] // not a single record
	}
	b.set(out)
}

// idHead is what stands before the offset in the id of each record of b.
func (f *Format) idHead(dst []byte, b *Batch) []byte {
	if !f.ids {
		return dst
	}
	dst = append(dst, `,"id":"`...)
	return append(appendEscapedString(dst, b.Gen), ':')
}

// rest is what follows the message of a record, but its id.
func (b *Batch) rest(out []byte) []byte {
	if b.Labels != "" {
		out = append(out, `,"labels":`...)
		out = append(out, b.Labels...)
	}
	if b.Partial != nil {
		out = b.Partial.appendJSON(out)
	}
	return out
}

// AppendJSON appends s as the inside of a JSON string. Bytes that are not UTF-8 become
// U+FFFD, one for each, as in encoding/json.
func AppendJSON(dst, s []byte) []byte { return appendEscaped(dst, s) }

// AppendJSONString is AppendJSON for a string.
func AppendJSONString(dst []byte, s string) []byte { return appendEscapedString(dst, s) }

func (p *Partial) appendJSON(out []byte) []byte {
	out = append(out, `,"partial":{"piece":`...)
	out = strconv.AppendInt(out, int64(p.Piece), 10)
	out = append(out, `,"last":`...)
	out = strconv.AppendBool(out, p.Last)
	return append(out, '}')
}

func appendEscapedString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return appendEscaped(dst, []byte(s)) // rare: allocates once a batch
		}
	}
	return append(dst, s...)
}

// appendEscaped appends s as the inside of a JSON string. Bytes that are not
// UTF-8 become U+FFFD, one for each, as in encoding/json.
//
// Eight bytes at a time: a word is copied before it is looked at, then cut to the
// bytes that may stand as they are.
func appendEscaped(dst, s []byte) []byte {
	high, tried := uint64(each80), false
	for len(s) >= 8 {
		n := len(dst)
		dst = slices.Grow(dst, 16)[:n+8]
		w := binary.LittleEndian.Uint64(s)
		binary.LittleEndian.PutUint64(dst[n:], w)
		hit := special(w, high)
		if hit == 0 {
			s = s[8:]
			continue
		}
		k := bits.TrailingZeros64(hit) / 8
		dst, s = dst[:n+k], s[k:]
		switch {
		case s[0] < utf8.RuneSelf:
			dst = appendEscape(dst, s[0])
			s = s[1:]
		case !tried && utf8.Valid(s):
			// Mostly all of the rest is valid, and needs no look at its runes. Asked only
			// once, or a bad byte at the end of a long line would cost a look at the whole
			// line for each rune before it.
			high = 0
		default:
			tried = true
			dst, s = appendRune(dst, s)
		}
	}
	for len(s) > 0 {
		if c := s[0]; c < utf8.RuneSelf || high == 0 {
			dst, s = appendByte(dst, c), s[1:]
		} else {
			dst, s = appendRune(dst, s)
		}
	}
	return dst
}

func appendByte(dst []byte, c byte) []byte {
	if c < ' ' || c == '"' || c == '\\' {
		return appendEscape(dst, c)
	}
	return append(dst, c)
}

// appendRune appends the first rune of s and gives the rest.
func appendRune(dst, s []byte) ([]byte, []byte) {
	r, n := utf8.DecodeRune(s)
	return utf8.AppendRune(dst, r), s[n:]
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\t':
		return append(dst, `\t`...)
	case '\r':
		return append(dst, `\r`...)
	case '\n':
		return append(dst, `\n`...)
	}
	const hex = "0123456789abcdef"
	return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}

const (
	each01 = 0x0101010101010101
	each80 = 0x8080808080808080
)

// special marks the bytes of w that cannot stand in a JSON string as they are: the
// lowest bit set is the top bit of the first of them. high is each80 if bytes of
// 0x80 and above are to be marked too, 0 if they are known to be good.
//
// A borrow can mark a byte wrongly, but only above one that is marked rightly.
func special(w, high uint64) uint64 {
	quote := w ^ each01*'"'
	slash := w ^ each01*'\\'
	hit := (w-each01*' ')&^w | (quote-each01)&^quote | (slash-each01)&^slash
	return hit&each80 | w&high
}
