package traffic

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// MaxLine is the longest line that the Verifier holds in memory; a longer one counts as torn.
const MaxLine = 256 << 20

// Format is how a collector wrote what it delivered.
type Format string

// The formats.
const (
	Auto Format = "auto" // whichever most lines at the beginning are
	Text Format = "text" // <source>: <message>
	Raw  Format = "raw"  // <message>
	JSON Format = "json" // {"source":…,"file":…,"message":…,…}
)

// Formats lists them all.
var Formats = []Format{Auto, Text, Raw, JSON}

// detectBytes is how much of an input is looked at to know its format.
const detectBytes = 64 << 10

// Read takes all lines of r; name is what the report calls it. An error is one of reading: lines
// that make no sense are counted as torn.
func (v *Verifier) Read(name string, r io.Reader, f Format) error {
	v.place = Place{File: name}
	in := bufio.NewReaderSize(r, 4*detectBytes)
	if f == Auto || f == "" {
		head, err := in.Peek(detectBytes)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("reading %s: %w", name, err)
		}
		f = detect(head)
	}
	for {
		line, whole, err := v.readLine(in)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", name, err)
		}
		v.place.Line++
		if !whole {
			v.torn(v.source(nil), line)
			continue
		}
		v.record(line, f)
	}
}

// ReadFile is Read for a file, decompressed if its name ends in .gz or .zst.
func (v *Verifier) ReadFile(path string, f Format) error {
	r, err := openContent(path)
	if err != nil {
		return err
	}
	return errors.Join(v.Read(path, r, f), r.Close())
}

// readLine reads up to the next line end, which it cuts off; io.EOF if there is nothing more. The
// line is valid until the next call; it is not whole if it is longer than MaxLine.
func (v *Verifier) readLine(in *bufio.Reader) (line []byte, whole bool, err error) {
	line, err = in.ReadSlice('\n')
	if err == nil {
		return line[:len(line)-1], true, nil
	}
	whole = true
	for v.long = v.long[:0]; ; line, err = in.ReadSlice('\n') {
		if len(v.long)+len(line) <= v.limit() {
			v.long = append(v.long, line...)
		} else {
			whole = false
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if errors.Is(err, io.EOF) && len(v.long) > 0 {
			err = nil
		}
		return bytes.TrimSuffix(v.long, []byte("\n")), whole, err
	}
}

func (v *Verifier) limit() int {
	if v.maxLine > 0 {
		return v.maxLine
	}
	return MaxLine
}

// record takes one line of what was delivered.
func (v *Verifier) record(line []byte, f Format) {
	switch f {
	case Text:
		source, message, ok := bytes.Cut(line, []byte(": "))
		if !ok {
			v.torn(v.source(nil), line)
			return
		}
		v.add(source, message)
	case JSON:
		r, ok := parseJSON(line)
		switch {
		case !ok:
			v.torn(v.source(nil), line)
		case r.partial:
			v.piece(r)
		default:
			v.add(r.source, r.message)
		}
	default:
		v.add(nil, line)
	}
}

// detect says which format most lines of head are in. Half a line at its end is no vote.
func detect(head []byte) Format {
	votes := map[Format]int{}
	for line := range bytes.Lines(head) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		_, message, _ := bytes.Cut(line, []byte(": "))
		switch {
		case isOurs(line):
			votes[Raw]++
		case isOurs(message):
			votes[Text]++
		default:
			if _, ok := parseJSON(line); ok {
				votes[JSON]++
			}
		}
	}
	best := Raw
	for _, f := range Formats {
		if votes[f] > votes[best] {
			best = f
		}
	}
	return best
}

func isOurs(line []byte) bool {
	_, _, ok := ParseNumbered(line)
	return ok || IsPlain(line)
}

// joined is the pieces of an over-long line so far.
type joined struct {
	source string
	next   int
	data   []byte
	at     Place
}

// piece joins the pieces of an over-long line of a file; those of other files may lie between them.
func (v *Verifier) piece(r jsonRecord) {
	if v.parts == nil {
		v.parts = map[string]*joined{}
	}
	key := string(r.source) + "\x00" + string(r.file)
	p := v.parts[key]
	if p == nil {
		p = &joined{source: string(r.source), at: v.place}
		v.parts[key] = p
	}
	if r.piece != p.next || len(p.data)+len(r.message) > v.limit() {
		v.torn(v.source(r.source), r.message)
		delete(v.parts, key)
		if r.piece != 0 {
			return
		}
		p = &joined{source: p.source, at: v.place}
		v.parts[key] = p
	}
	p.next++
	p.data = append(p.data, r.message...)
	if r.last {
		delete(v.parts, key)
		v.add(r.source, p.data)
	}
}
