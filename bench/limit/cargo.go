package main

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/record"
	"github.com/logcatchsys/logcatchsys/internal/traffic"
)

// different is how many records differ: enough for compression to find in them what it finds in a log.
const different = 1 << 13

// What one request of the collector holds at most, by default.
const (
	requestBytes   = 1 << 20
	requestRecords = 10_000
)

// A cargo is encoded records. They are sent again and again.
type cargo struct {
	batch *record.Batch
	host  string
}

// load makes a cargo with records of one kind: record.NewMessages or record.NewLines.
func load(o options, kind func(format, host string) (*record.Format, error)) (*cargo, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	format, err := kind("json", host)
	if err != nil {
		return nil, err
	}
	n := min(o.lines, different)
	b := record.NewBatch(int(n) * o.line)
	b.Source, b.File, b.Gen, b.Read = o.source, o.file, "0123456789abcdef", time.Now()
	id := traffic.SequenceID(o.source, 1)
	for i := range n {
		b.Data = traffic.AppendNumbered(b.Data, id, i+1, o.line)
	}
	b.Count = int(n)
	format.Encode(b)
	return &cargo{b, host}, nil
}

// encoded is record number i, counted from 0.
func (c *cargo) encoded(i uint64) []byte {
	n := i % uint64(len(c.batch.Spans))
	from := 0
	if n > 0 {
		from = c.batch.Spans[n-1].End
	}
	return c.batch.Out[from:c.batch.Spans[n].End]
}

// appendOffset appends the offset that record number i has in its file.
func (c *cargo) appendOffset(dst []byte, i uint64, line int) []byte {
	return strconv.AppendUint(dst, i*uint64(line), 10)
}

// appendID appends the id of record number i: no two are the same.
func (c *cargo) appendID(dst []byte, i uint64, line int) []byte {
	return c.batch.AppendID(dst, int64(i)*int64(line))
}

// bodies cuts the cargo into requests with as much in each as the collector puts there.
func (c *cargo) bodies() (bodies [][]byte) {
	for rest := c.batch.Out; len(rest) > 0; {
		cut := 0
		for n := 0; n < requestRecords; n++ {
			i := bytes.IndexByte(rest[cut:], '\n')
			if i < 0 || cut+i+1 > requestBytes && cut > 0 {
				break
			}
			cut += i + 1
		}
		bodies, rest = append(bodies, rest[:cut]), rest[cut:]
	}
	return bodies
}

// firstLines is the first n lines of a body.
func firstLines(body []byte, n uint64) []byte {
	cut := 0
	for range n {
		cut += bytes.IndexByte(body[cut:], '\n') + 1
	}
	return body[:cut]
}
