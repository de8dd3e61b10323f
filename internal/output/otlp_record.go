package output

import (
	"path/filepath"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/logcatchsys/logcatchsys/internal/record"
)

// Numbers of the fields in opentelemetry/proto/{collector/logs,logs,common,resource}/v1
// of open-telemetry/opentelemetry-proto 1.x.
const (
	requestResourceLogs                  = 1
	logsResource, logsScopeLogs          = 1, 2
	resourceAttributes                   = 1
	scopeLogsScope, scopeLogsRecords     = 1, 2
	scopeName, scopeVersion              = 1, 2
	logBody, logAttributes, logObserved  = 5, 6, 11
	valueString, valueBool, valueInteger = 1, 2, 3
	keyValueKey, keyValueValue           = 1, 2
)

// Every number of a field that is used is below 16: its tag is one byte.
const tagSize = 1

// sizeOfBytes is that of a field with size bytes inside.
func sizeOfBytes(size int) int { return tagSize + protowire.SizeBytes(size) }

// appendHead appends what stands before the size bytes of a field.
func appendHead(dst []byte, field protowire.Number, size int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(dst, field, protowire.BytesType), uint64(size))
}

// appendAttribute appends a KeyValue as field number field. The value is UTF-8.
func appendAttribute[T string | []byte](dst []byte, field protowire.Number, key string, value T) []byte {
	dst = appendKey(dst, field, key, sizeOfBytes(len(value)))
	dst = appendHead(dst, valueString, len(value))
	return append(dst, value...)
}

// appendNumber is appendAttribute for what is a varint: kind says of which type.
func appendNumber(dst []byte, field protowire.Number, key string, kind protowire.Number, value uint64) []byte {
	dst = appendKey(dst, field, key, tagSize+protowire.SizeVarint(value))
	dst = protowire.AppendTag(dst, kind, protowire.VarintType)
	return protowire.AppendVarint(dst, value)
}

// appendKey appends a KeyValue up to its AnyValue, which has size bytes.
func appendKey(dst []byte, field protowire.Number, key string, size int) []byte {
	dst = appendHead(dst, field, sizeOfBytes(len(key))+sizeOfBytes(size))
	dst = appendHead(dst, keyValueKey, len(key))
	dst = append(dst, key...)
	return appendHead(dst, keyValueValue, size)
}

// Encode makes a LogRecord of each record, as a field of its ScopeLogs. A line has no time
// of its own, and no severity: what is not known is not set.
func (o *otlpOutput) Encode(b *record.Batch) {
	var room [512]byte
	same := appendSame(room[:0], b)
	one := func(dst []byte, offset int64, message []byte) []byte {
		return appendLogRecord(dst, b, same, offset, message)
	}
	if o.format == nil {
		b.Encode(len(b.Data)+(b.Count+1)*(len(same)+len(b.Gen)+128), one)
		return
	}
	o.format.Encode(b)
	b.Wrap(one)
}

// appendSame appends the fields that all records of b have.
func appendSame(dst []byte, b *record.Batch) []byte {
	dst = protowire.AppendTag(dst, logObserved, protowire.Fixed64Type)
	dst = protowire.AppendFixed64(dst, uint64(b.Read.UnixNano()))
	file := validText(b.File)
	dst = appendAttribute(dst, logAttributes, "log.file.path", file)
	dst = appendAttribute(dst, logAttributes, "log.file.name", filepath.Base(file))
	if b.Partial != nil {
		last := protowire.EncodeBool(b.Partial.Last)
		dst = appendNumber(dst, logAttributes, "logcatchsys.partial.piece", valueInteger, uint64(b.Partial.Piece))
		dst = appendNumber(dst, logAttributes, "logcatchsys.partial.last", valueBool, last)
	}
	return dst
}

func appendLogRecord(dst []byte, b *record.Batch, same []byte, offset int64, message []byte) []byte {
	const keyOffset, keyID = "log.offset", "log.record.uid"
	var digits [20]byte
	number := strconv.AppendInt(digits[:0], offset, 10)
	text := sizeOfText(message)
	id := len(b.Gen) + 1 + len(number)
	ofOffset := sizeOfBytes(len(keyOffset)) + sizeOfBytes(tagSize+protowire.SizeVarint(uint64(offset)))
	ofID := sizeOfBytes(len(keyID)) + sizeOfBytes(sizeOfBytes(id))
	size := sizeOfBytes(sizeOfBytes(text)) + len(same) + sizeOfBytes(ofOffset) + sizeOfBytes(ofID)

	dst = appendHead(dst, scopeLogsRecords, size)
	dst = appendHead(dst, logBody, sizeOfBytes(text))
	dst = appendHead(dst, valueString, text)
	dst = appendText(dst, message, text)
	dst = append(dst, same...)
	dst = appendNumber(dst, logAttributes, keyOffset, valueInteger, uint64(offset))
	dst = appendKey(dst, logAttributes, keyID, sizeOfBytes(id))
	dst = appendHead(dst, valueString, id)
	return b.AppendID(dst, offset)
}

// sizeOfText is that of s as UTF-8: each byte that is none becomes U+FFFD.
func sizeOfText(s []byte) int {
	if utf8.Valid(s) {
		return len(s)
	}
	size := 0
	for len(s) > 0 {
		r, n := utf8.DecodeRune(s)
		size += utf8.RuneLen(r)
		s = s[n:]
	}
	return size
}

// appendText appends s as UTF-8, whose size sizeOfText has found.
func appendText(dst, s []byte, size int) []byte {
	if size == len(s) { // each byte that is replaced makes it longer
		return append(dst, s...)
	}
	for len(s) > 0 {
		r, n := utf8.DecodeRune(s)
		dst = utf8.AppendRune(dst, r)
		s = s[n:]
	}
	return dst
}

// validText is s as UTF-8.
func validText(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return string([]rune(s))
}
