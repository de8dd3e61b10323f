package output

import (
	"encoding/json"
	"maps"
	"runtime/debug"
	"slices"
)

// An otlpForm puts the messages around LogRecords that say where they come from. It is
// for one goroutine.
type otlpForm struct {
	host      string
	scope     []byte                // field of a ScopeLogs
	resources map[otlpOrigin][]byte // fields of a ResourceLogs
}

// An otlpOrigin is what a resource is made from.
type otlpOrigin struct{ source, labels string }

func newOTLPForm(host string) otlpForm {
	version := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
	}
	inner := appendHead(nil, scopeName, len("logcatchsys"))
	inner = append(inner, "logcatchsys"...)
	inner = append(appendHead(inner, scopeVersion, len(version)), version...)
	scope := append(appendHead(nil, scopeLogsScope, len(inner)), inner...)
	return otlpForm{host: validText(host), scope: scope, resources: map[otlpOrigin][]byte{}}
}

// resource is the encoded Resource of an origin, as a field of a ResourceLogs. Labels
// keep their names; one that is called as an attribute of ours takes its place.
func (f *otlpForm) resource(of otlpOrigin) []byte {
	if encoded, ok := f.resources[of]; ok {
		return encoded
	}
	attributes := map[string]string{"service.name": of.source, "host.name": f.host, "logcatchsys.source": of.source}
	if of.labels != "" {
		var labels map[string]string
		_ = json.Unmarshal([]byte(of.labels), &labels) // our own encoding
		maps.Copy(attributes, labels)
	}
	var inner []byte
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		inner = appendAttribute(inner, resourceAttributes, validText(name), validText(attributes[name]))
	}
	encoded := append(appendHead(nil, logsResource, len(inner)), inner...)
	f.resources[of] = encoded
	return encoded
}

// appendRequest appends the ExportLogsServiceRequest of r. Records that follow each
// other and have one origin share a ResourceLogs.
func (f *otlpForm) appendRequest(dst []byte, r *request) []byte {
	for from := r.from; from < r.to; {
		of := originOf(r, from)
		to, size := from, 0
		for ; to < r.to && (r.items[to].part == r.items[from].part || originOf(r, to) == of); to++ {
			if !r.items[to].settled {
				size += len(r.encoded(to))
			}
		}
		if size > 0 {
			dst = f.appendLogs(dst, f.resource(of), size)
			dst = appendRecords(dst, r, from, to)
		}
		from = to
	}
	return dst
}

func originOf(r *request, i int) otlpOrigin {
	b := r.head(i)
	return otlpOrigin{b.Source, b.Labels}
}

// appendLogs appends a ResourceLogs up to its records, which have size bytes.
func (f *otlpForm) appendLogs(dst, resource []byte, size int) []byte {
	size += len(f.scope)
	dst = appendHead(dst, requestResourceLogs, len(resource)+sizeOfBytes(size))
	dst = append(dst, resource...)
	dst = appendHead(dst, logsScopeLogs, size)
	return append(dst, f.scope...)
}

// appendRecords appends the items from, …, to-1 that are not settled.
func appendRecords(dst []byte, r *request, from, to int) []byte {
	for from < to {
		end := from
		for end < to && !r.items[end].settled {
			end++
		}
		if end > from {
			dst = append(dst, r.out[r.start(from):r.items[end-1].end]...)
		}
		from = end + 1
	}
	return dst
}

// appendEmpty appends a request with a resource and no record.
func (f *otlpForm) appendEmpty(dst []byte) []byte {
	resource := f.resource(otlpOrigin{source: "logcatchsys"})
	return append(appendHead(dst, requestResourceLogs, len(resource)), resource...)
}
