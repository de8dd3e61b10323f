package traffic

import (
	"bytes"
	"encoding/json"
)

// jsonRecord is what the Verifier needs of a record. The slices may point into the line.
type jsonRecord struct {
	source, file, message []byte
	partial, last         bool
	piece                 int
}

// parseJSON reads one delivered record; it is not ok if it is not one whole JSON object with a
// source and a message.
func parseJSON(line []byte) (jsonRecord, bool) {
	if r, ok := parseFlat(line); ok {
		return r, r.source != nil && r.message != nil
	}
	var full struct {
		Source, File, Message *string
		Partial               *struct {
			Piece int
			Last  bool
		}
	}
	if json.Unmarshal(line, &full) != nil || full.Source == nil || full.Message == nil {
		return jsonRecord{}, false
	}
	r := jsonRecord{source: []byte(*full.Source), message: []byte(*full.Message)}
	if full.File != nil {
		r.file = []byte(*full.File)
	}
	if full.Partial != nil {
		r.partial, r.piece, r.last = true, full.Partial.Piece, full.Partial.Last
	}
	return r, true
}

// parseFlat reads the common record, an object of plain ASCII strings and whole numbers without any
// space between them, ten times as fast as encoding/json and without an allocation. Of everything
// else it says "not ok", and encoding/json has the word.
func parseFlat(line []byte) (r jsonRecord, ok bool) {
	rest, ok := bytes.CutPrefix(line, []byte("{"))
	for ok {
		var key, value []byte
		var isString bool
		if key, rest, ok = flatString(rest); !ok {
			break
		}
		if rest, ok = bytes.CutPrefix(rest, []byte(":")); !ok {
			break
		}
		if value, rest, isString, ok = flatValue(rest); !ok || !r.set(key, value, isString) {
			break
		}
		if string(rest) == "}" {
			return r, true
		}
		rest, ok = bytes.CutPrefix(rest, []byte(","))
	}
	return jsonRecord{}, false
}

// set takes a member of the object; false leaves the record to encoding/json, which knows what
// becomes of repeated names, names in capitals and values of the wrong type.
func (r *jsonRecord) set(key, value []byte, isString bool) bool {
	var field *[]byte
	switch string(key) {
	case "source":
		field = &r.source
	case "file":
		field = &r.file
	case "message":
		field = &r.message
	case "timestamp", "host", "offset", "id":
		return true
	default:
		return false
	}
	if *field != nil || !isString {
		return false
	}
	*field = value
	return true
}

func flatValue(b []byte) (value, rest []byte, isString, ok bool) {
	if len(b) > 0 && b[0] == '"' {
		value, rest, ok = flatString(b)
		return value, rest, true, ok
	}
	n := 0
	for n < len(b) && isDigit(b[n]) {
		n++
	}
	ok = n == 1 || n > 1 && b[0] != '0'
	return b[:n], b[n:], false, ok
}

// flatString reads a string without escapes; its value is never nil.
func flatString(b []byte) (value, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != '"' {
		return nil, nil, false
	}
	for i, c := range b[1:] {
		switch {
		case c == '"':
			return b[1 : 1+i], b[i+2:], true
		case c < ' ' || c >= 0x7f || c == '\\':
			return nil, nil, false
		}
	}
	return nil, nil, false
}
