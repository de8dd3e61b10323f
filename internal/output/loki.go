package output

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/klauspost/compress/snappy"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/logcatchsys/logcatchsys/internal/record"
)

// lokiOutput pushes records to Grafana Loki: POST /loki/api/v1/push, as protobuf
// (logproto.PushRequest, in a snappy block) or as JSON.
//
// A stream is what has equal labels: those of the output, filled in, and those of the
// source. Each entry has a time of its own, later than any before: Loki sorts by it,
// and takes two equal lines with one time for one.
type lokiOutput struct {
	*courier
	web    *web
	host   string
	format *record.Format // nil: raw
	labels []lokiLabel
	entry  func(dst []byte, at time.Time, meta []byte, offset int64, line []byte) []byte
	json   bool
	last   atomic.Int64 // the latest time given to an entry, Unix nanoseconds
	body   []byte       // of the request under way
	block  []byte       // the same, compressed
}

type lokiLabel struct {
	name  string
	value template
}

const (
	lokiLabels = 15        // most labels that Loki takes in its default configuration
	lokiLine   = 240 << 10 // it refuses lines of more than 256 KiB
)

func openLoki(spec Spec, env Env) (Output, error) {
	o := &lokiOutput{host: env.Host, json: spec.Encoding == "json", entry: protoEntry}
	if o.json {
		o.entry = jsonEntry
	} else {
		spec.Compression = "none" // protobuf has its own
	}
	var err error
	if o.web, err = newLokiWeb(spec, env); err != nil {
		return nil, err
	}
	if spec.Format != "raw" && spec.Format != "" {
		if o.format, err = record.NewMessages(spec.Format, env.Host); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(spec.Labels)) {
		value, err := parseTemplate("labels."+name, spec.Labels[name])
		if err != nil {
			return nil, err
		}
		o.labels = append(o.labels, lokiLabel{name, value})
	}
	o.courier, err = newCourier(spec, env, o.send)
	return o, err
}

func newLokiWeb(spec Spec, env Env) (*web, error) {
	web, err := newWeb(spec, env)
	if err == nil && spec.Tenant != "" {
		web.header.Set("X-Scope-OrgID", spec.Tenant)
	}
	return web, err
}

// Encode makes an entry of each record.
func (o *lokiOutput) Encode(b *record.Batch) {
	at := o.reserve(b.Read, b.Count+1)
	meta := o.metadata(b)
	one := func(dst []byte, offset int64, line []byte) []byte {
		at = at.Add(1)
		return o.entry(dst, at, meta, offset, line)
	}
	if o.format == nil {
		b.Encode(len(b.Data)+(b.Count+1)*(len(meta)+64), one)
		return
	}
	o.format.Encode(b)
	b.Wrap(one)
}

// reserve gives the time before n nanoseconds that no other batch gets.
func (o *lokiOutput) reserve(read time.Time, n int) time.Time {
	for {
		last := o.last.Load()
		from := max(read.UnixNano(), last)
		if o.last.CompareAndSwap(last, from+int64(n)) {
			return time.Unix(0, from)
		}
	}
}

// metadata is the encoded structured metadata that all entries of b have: its host and
// file, and which piece of a line it is. The offset is each entry's own.
func (o *lokiOutput) metadata(b *record.Batch) (meta []byte) {
	add := func(name, value string) {
		if o.json {
			meta = append(record.AppendJSONString(append(meta, `,"`+name+`":"`...), value), '"')
		} else {
			meta = appendPair(meta, name, value)
		}
	}
	add("host", o.host)
	add("file", strings.ToValidUTF8(b.File, "\uFFFD"))
	if b.Partial != nil {
		add("piece", strconv.Itoa(b.Partial.Piece))
		add("last", strconv.FormatBool(b.Partial.Last))
	}
	return meta
}

// Numbers of the fields in pkg/push/push.proto of grafana/loki.
const (
	pushStreams                                = 1
	streamLabels, streamEntries                = 1, 2
	entryTimestamp, entryLine, entryStructured = 1, 2, 3
	pairName, pairValue                        = 1, 2
	stampSeconds, stampNanos                   = 1, 2
)

// protoEntry appends an entry as a field of its stream.
func protoEntry(dst []byte, at time.Time, meta []byte, offset int64, line []byte) []byte {
	var digits [20]byte
	number := strconv.AppendInt(digits[:0], offset, 10)
	pair := sizeOfPair(len("offset"), len(number))
	if !utf8.Valid(line) {
		line = bytes.ToValidUTF8(line, []byte("\uFFFD"))
	}
	stamp := protowire.SizeTag(stampSeconds) + protowire.SizeVarint(uint64(at.Unix())) +
		protowire.SizeTag(stampNanos) + protowire.SizeVarint(uint64(at.Nanosecond()))
	size := protowire.SizeTag(entryTimestamp) + protowire.SizeBytes(stamp) +
		protowire.SizeTag(entryLine) + protowire.SizeBytes(len(line)) + len(meta) + pair
	dst = protowire.AppendTag(dst, streamEntries, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(size))
	dst = protowire.AppendTag(dst, entryTimestamp, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(stamp))
	dst = protowire.AppendTag(dst, stampSeconds, protowire.VarintType)
	dst = protowire.AppendVarint(dst, uint64(at.Unix()))
	dst = protowire.AppendTag(dst, stampNanos, protowire.VarintType)
	dst = protowire.AppendVarint(dst, uint64(at.Nanosecond()))
	dst = protowire.AppendTag(dst, entryLine, protowire.BytesType)
	dst = protowire.AppendBytes(dst, line)
	dst = append(dst, meta...)
	return appendPair(dst, "offset", number)
}

// sizeOfPair is that of a label pair as a field of an entry.
func sizeOfPair(name, value int) int {
	inner := protowire.SizeTag(pairName) + protowire.SizeBytes(name) + protowire.SizeTag(pairValue) + protowire.SizeBytes(value)
	return protowire.SizeTag(entryStructured) + protowire.SizeBytes(inner)
}

func appendPair[T string | []byte](dst []byte, name string, value T) []byte {
	dst = protowire.AppendTag(dst, entryStructured, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(protowire.SizeTag(pairName)+protowire.SizeBytes(len(name))+
		protowire.SizeTag(pairValue)+protowire.SizeBytes(len(value))))
	dst = protowire.AppendTag(dst, pairName, protowire.BytesType)
	dst = protowire.AppendString(dst, name)
	dst = protowire.AppendTag(dst, pairValue, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(len(value)))
	return append(dst, value...)
}

// jsonEntry appends ["<nanoseconds>","<line>",{metadata}] and a comma.
func jsonEntry(dst []byte, at time.Time, meta []byte, offset int64, line []byte) []byte {
	dst = strconv.AppendInt(append(dst, `["`...), at.UnixNano(), 10)
	dst = record.AppendJSON(append(dst, `","`...), line)
	dst = strconv.AppendInt(append(dst, `",{"offset":"`...), offset, 10)
	return append(append(append(dst, '"'), meta...), "}],"...)
}

// A lokiStream is the part of a request that has equal labels.
type lokiStream struct {
	labels []lokiPair
	items  []int
	size   int // of its entries
}

type lokiPair struct{ name, value string }

// streams sorts the items of a request by their labels; within a stream they keep
// their order.
func (o *lokiOutput) streams(r *request) []*lokiStream {
	byLabels := map[string]*lokiStream{}
	var all []*lokiStream
	var current *lokiStream
	part := -1
	r.each(func(i int) {
		if p := r.items[i].part; p != part {
			part = p
			labels := o.labelsOf(r.head(i))
			key := fmt.Sprintf("%q", labels)
			if current = byLabels[key]; current == nil {
				current = &lokiStream{labels: labels}
				byLabels[key] = current
				all = append(all, current)
			}
		}
		current.items = append(current.items, i)
		current.size += len(r.encoded(i))
	})
	return all
}

// labelsOf are the labels of b's stream, sorted: those of the output, and those of the
// source for which there is room. An empty value is no label.
func (o *lokiOutput) labelsOf(b *record.Batch) (labels []lokiPair) {
	add := func(name, value string) {
		taken := slices.ContainsFunc(labels, func(l lokiPair) bool { return l.name == name })
		if value != "" && !taken && len(labels) < lokiLabels {
			labels = append(labels, lokiPair{name, strings.ToValidUTF8(value, "\uFFFD")})
		}
	}
	for _, l := range o.labels {
		add(l.name, l.value.fill(b, o.host, nil))
	}
	var own map[string]string
	if b.Labels != "" {
		_ = json.Unmarshal([]byte(b.Labels), &own) // our own encoding
	}
	for _, name := range slices.Sorted(maps.Keys(own)) {
		add(lokiName(name), own[name])
	}
	if len(labels) == 0 {
		add("source", b.Source) // Loki takes no stream without a label
	}
	slices.SortFunc(labels, func(a, b lokiPair) int { return strings.Compare(a.name, b.name) })
	return labels
}

// lokiName makes a legal name of a label: [a-zA-Z_][a-zA-Z0-9_]*.
func lokiName(name string) string {
	legal := strings.Map(func(r rune) rune {
		if r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, name)
	if legal != "" && legal[0] >= '0' && legal[0] <= '9' {
		legal = "_" + legal
	}
	return legal
}

func (o *lokiOutput) send(ctx context.Context, r *request) error {
	content := "application/x-protobuf"
	streams := o.streams(r)
	if o.json {
		content = "application/json"
		o.body = jsonPush(o.body[:0], r, streams)
	} else {
		o.body = protoPush(o.body[:0], r, streams)
		o.block = snappy.Encode(o.block[:cap(o.block)], o.body)
	}
	a, err := o.web.send(ctx, http.MethodPost, o.spec.URL, content, o.bytes(), tallAnswer)
	if err != nil {
		return fmt.Errorf("%s: %w", o.web.hide(o.spec.URL), explained(err))
	}
	return o.web.verdict(a, o.spec.URL)
}

// bytes is what goes over the wire.
func (o *lokiOutput) bytes() []byte {
	if o.json {
		return o.body
	}
	return o.block
}

func protoPush(dst []byte, r *request, streams []*lokiStream) []byte {
	for _, s := range streams {
		labels := lokiSelector(s.labels)
		dst = protowire.AppendTag(dst, pushStreams, protowire.BytesType)
		dst = protowire.AppendVarint(dst, uint64(protowire.SizeTag(streamLabels)+protowire.SizeBytes(len(labels))+s.size))
		dst = protowire.AppendTag(dst, streamLabels, protowire.BytesType)
		dst = protowire.AppendString(dst, labels)
		for _, i := range s.items {
			dst = append(dst, r.encoded(i)...)
		}
	}
	return dst
}

// lokiSelector is labels as Loki writes them: {a="b", c="d"}.
func lokiSelector(labels []lokiPair) string {
	var s strings.Builder
	for i, l := range labels {
		if i > 0 {
			s.WriteString(", ")
		}
		s.WriteString(l.name + "=" + strconv.Quote(l.value))
	}
	return "{" + s.String() + "}"
}

func jsonPush(dst []byte, r *request, streams []*lokiStream) []byte {
	dst = append(dst, `{"streams":[`...)
	for n, s := range streams {
		if n > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"stream":{`...)
		for k, l := range s.labels {
			if k > 0 {
				dst = append(dst, ',')
			}
			dst = append(record.AppendJSONString(append(dst, `"`+l.name+`":"`...), l.value), '"')
		}
		dst = append(dst, `},"values":[`...)
		for _, i := range s.items {
			dst = append(dst, r.encoded(i)...)
		}
		dst = append(dst[:len(dst)-1], "]}"...) // without the last comma
	}
	return append(dst, "]}"...)
}

func (o *lokiOutput) Close() error {
	o.web.close()
	return o.courier.Close()
}

// probeLoki pushes nothing: a request without streams. Loki may answer that one with
// 204, or with 422 or 400 because it is empty; both come after it has looked at who asks.
func probeLoki(ctx context.Context, spec Spec, env Env, _ []*record.Batch) error {
	spec.Compression = "none"
	web, err := newLokiWeb(spec, env)
	if err != nil {
		return err
	}
	defer web.close()
	a, err := web.send(ctx, http.MethodPost, spec.URL, "application/json", []byte(`{"streams":[]}`), tallAnswer)
	if err != nil {
		return fmt.Errorf("%s: %w", web.hide(spec.URL), explained(err))
	}
	if wantsTLS(a.body) {
		return web.verdict(a, spec.URL)
	}
	switch a.status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return nil
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return fmt.Errorf("%s answers %s: the path is usually /loki/api/v1/push", web.hide(spec.URL), web.said(a))
	}
	return web.verdict(a, spec.URL)
}
