package output

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/logcatchsys/logcatchsys/internal/record"
)

// The element of the structured data that is ours. 32473 is the enterprise number that
// RFC 5612 reserves for documentation: the project has none of its own.
const syslogElement = "[logcatchsys@32473"

// syslogHead is the room for all that stands before a line in its message. Of params for
// which there is none (long labels, a long path) the message goes without.
const syslogHead = syslogMost - syslogLine

var (
	syslogFacilities = []string{
		"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
		"ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
	}
	syslogSeverities = []string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}
)

// A syslogEncoder makes messages of records (RFC 5424, 6). Followers use it side by side.
//
// The message proper is sent as it stands in the file, without a BOM: that is MSG-ANY,
// which says nothing of its encoding, as nothing is known of it. Control characters are
// left in it: they are legal, and a receiver knows best what it wants to do with them.
type syslogEncoder struct {
	start   string // "<PRI>1 "
	host    string // with a space on both sides
	counted bool   // the length of a message stands before it
	text    bool
	json    *record.Format // nil: the line as it is
	labels  *sync.Map      // string (JSON) → []string (escaped params)
	scratch *sync.Pool     // of *syslogScratch
}

// syslogScratch is memory for one Encode.
type syslogScratch struct {
	head []byte // of each message, up to the offset
	id   []byte // what stands between the offset and the offset in the id
	line []byte // what stands before each line
	body []byte // the batch as JSON
	ends []int  // of its records
}

func newSyslogEncoder(spec Spec, host string, counted bool) (syslogEncoder, error) {
	facility := slices.Index(syslogFacilities, spec.Facility)
	severity := slices.Index(syslogSeverities, spec.Severity)
	e := syslogEncoder{
		start: fmt.Sprintf("<%d>1 ", facility*8+severity), counted: counted, text: spec.Format == "text",
		labels: new(sync.Map), scratch: &sync.Pool{New: func() any { return new(syslogScratch) }},
	}
	e.host = " " + string(appendSyslogName(nil, host, 255)) + " "
	switch {
	case facility < 0:
		return e, fmt.Errorf("facility: unknown %q: one of %s", spec.Facility, strings.Join(syslogFacilities, ", "))
	case severity < 0:
		return e, fmt.Errorf("severity: unknown %q: one of %s", spec.Severity, strings.Join(syslogSeverities, ", "))
	}
	format, err := record.NewMessages(spec.Format, host)
	if spec.Format == "json" {
		e.json = format
	}
	return e, err
}

// most is how long an encoded record may be.
func (e *syslogEncoder) most() int {
	if e.counted {
		return len(strconv.Itoa(syslogMost)) + 1 + syslogMost
	}
	return syslogMost
}

// Encode sets b.Out to its records as messages, and b.Spans.
func (e *syslogEncoder) Encode(b *record.Batch) {
	s := e.scratch.Get().(*syslogScratch)
	defer e.scratch.Put(s)
	e.common(s, b)
	if e.json != nil {
		s.take(e.json, b)
	}
	n := 0
	b.Encode(len(b.Data)+len(s.body)+(b.Count+1)*(len(s.head)+len(s.id)+len(s.line)+64), func(dst []byte, offset int64, message []byte) []byte {
		if e.json != nil {
			message = s.object(n)
		}
		n++
		return e.message(dst, s, offset, message)
	})
}

// message appends one message.
func (e *syslogEncoder) message(dst []byte, s *syslogScratch, offset int64, line []byte) []byte {
	const end = `"] `
	var space [20]byte
	at := strconv.AppendInt(space[:0], offset, 10)
	if e.counted {
		size := len(s.head) + len(at) + len(s.id) + len(at) + len(end) + len(s.line) + len(line)
		dst = strconv.AppendInt(dst, int64(size), 10)
		dst = append(dst, ' ')
	}
	dst = append(dst, s.head...)
	dst = append(dst, at...)
	dst = append(dst, s.id...)
	dst = append(dst, at...)
	dst = append(dst, end...)
	dst = append(dst, s.line...)
	return append(dst, line...)
}

// common fills in what is the same for all messages of b.
func (e *syslogEncoder) common(s *syslogScratch, b *record.Batch) {
	const offset, longest = ` offset="`, len("9223372036854775807")
	s.id = append(s.id[:0], `" id="`...)
	s.id = append(appendSyslogValue(s.id, b.Gen), ':')
	s.line = s.line[:0]
	if e.text {
		s.line = append(append(s.line, b.Source...), ": "...)
	}
	room := syslogHead - len(offset) - len(s.id) - len(s.line) - 2*longest - len(`"] `)

	head := append(s.head[:0], e.start...)
	head = b.Read.UTC().AppendFormat(head, "2006-01-02T15:04:05.000000Z07:00")
	head = append(head, e.host...)
	head = appendSyslogName(head, b.Source, 48)
	head = append(head, " - - "+syslogElement...)
	if p := b.Partial; p != nil {
		head = appendSyslogParam(head, room, "piece", strconv.Itoa(p.Piece))
		head = appendSyslogParam(head, room, "last", strconv.FormatBool(p.Last))
	}
	head = appendSyslogParam(head, room, "source", b.Source)
	head = appendSyslogParam(head, room, "file", b.File)
	for _, param := range e.params(b.Labels) {
		if len(head)+len(param) <= room {
			head = append(head, param...)
		}
	}
	s.head = append(head, offset...)
}

// params gives labels as params, sorted. A configuration has only a few of them.
func (e *syslogEncoder) params(labels string) []string {
	if labels == "" {
		return nil
	}
	if known, ok := e.labels.Load(labels); ok {
		return known.([]string)
	}
	var set map[string]string
	_ = json.Unmarshal([]byte(labels), &set) // our own encoding
	var params []string
	for _, name := range slices.Sorted(maps.Keys(set)) {
		safe := appendSyslogName(nil, "label."+name, 32)
		params = append(params, string(appendSyslogParam(nil, syslogHead, string(safe), set[name])))
	}
	e.labels.Store(labels, params)
	return params
}

// appendSyslogParam appends a param unless dst becomes longer than most by it.
func appendSyslogParam(dst []byte, most int, name, value string) []byte {
	before := len(dst)
	dst = append(dst, ' ')
	dst = append(dst, name...)
	dst = append(dst, `="`...)
	dst = append(appendSyslogValue(dst, value), '"')
	if len(dst) > most {
		return dst[:before]
	}
	return dst
}

// appendSyslogValue appends value as the inside of a PARAM-VALUE (RFC 5424, 6.3.3). It is
// made valid UTF-8.
func appendSyslogValue(dst []byte, value string) []byte {
	for _, r := range value {
		switch r {
		case '"', '\\', ']':
			dst = append(dst, '\\', byte(r))
		default:
			dst = append(dst, string(r)...)
		}
	}
	return dst
}

// appendSyslogName appends value as a HOSTNAME, APP-NAME or PARAM-NAME of at most so
// many bytes: printable ASCII, and "-" for nothing. What a name may not hold becomes '_'.
func appendSyslogName(dst []byte, value string, most int) []byte {
	if value == "" {
		return append(dst, '-')
	}
	for i, r := range value {
		if i >= most {
			break
		}
		if r <= ' ' || r > '~' || strings.ContainsRune(`="]`, r) {
			r = '_'
		}
		dst = append(dst, byte(r))
	}
	return dst
}

// take keeps b as JSON: b.Encode is about to use its memory.
func (s *syslogScratch) take(f *record.Format, b *record.Batch) {
	f.Encode(b)
	s.body = append(s.body[:0], b.Out...)
	s.ends = s.ends[:0]
	for _, span := range b.Spans {
		s.ends = append(s.ends, span.End)
	}
}

// object is record number n of what was taken.
func (s *syslogScratch) object(n int) []byte {
	from := 0
	if n > 0 {
		from = s.ends[n-1]
	}
	return s.body[from:s.ends[n]]
}
