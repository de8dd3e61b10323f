//go:build linux

package main

import (
	"fmt"
)

// outputLimit is what an output may take, times what its client library takes from memory.
const outputLimit = 1.5

// findings sums up the rounds.
func (s *outputsRun) findings(taking []link) findings {
	t := table{
		title: fmt.Sprintf("Outputs over a network: lines of %d bytes, %d rounds", s.line, s.rounds),
		note:  outputsNote,
		head: []string{
			"output", "lines", "seconds", "lines/s", "times the limit", "CPU s per million lines", "times the limit",
			"bytes a record", "peak MiB", "remark",
		},
	}
	var f findings
	for _, l := range taking {
		ours, limit, lines := s.by[l.ours.name], s.by[l.limit.name], s.linesOf(l)
		time, cpu := median(pairs(ours.seconds, limit.seconds)), median(pairs(ours.cpu, limit.cpu))
		t.rows = append(t.rows,
			outputRow(l.name, lines, ours, short(time), short(cpu)),
			outputRow(l.name+": limit, "+l.library, lines, limit, "1.00", "1.00"))
		f.aims = append(f.aims,
			atMost("output "+l.name+": time, times the limit", time, outputLimit),
			atMost("output "+l.name+": CPU, times the limit", cpu, outputLimit))
	}
	f.tables = []table{t}
	return f
}

const outputsNote = "From the start of the process to its end; medians. The limit is a program that sends the same records (the json of the " +
	"same lines, the same headers, compression and acknowledgements) through the same client library from memory, where they stand " +
	"encoded: it reads no file, encodes nothing, and keeps no positions. \"Times the limit\" are medians of the ratios within a round. " +
	"CPU and memory are those of the process alone. The far end is another process on the same machine, a new one for each run: what it " +
	"takes of the processors is in the seconds and not in the CPU. http: a server that counts lines; one request at a time, so that they " +
	"stay in order. kafka: kfake with one broker that checks the batches and keeps none (exactly_once: keeps them in memory); zstd, " +
	"idempotent; exactly_once: the limit commits once a second. nats: nats-server with a stream on disk that keeps ids; the limit is the library's asynchronous publish, which the " +
	"output does not use. Bytes: as they go over the network, compressed; of nats, as the " +
	"stream stores them."

func outputRow(name string, lines uint64, r *runs, time, cpu string) []string {
	seconds, count := median(r.seconds), float64(lines)
	return []string{
		name, thousands(int64(lines)), short(seconds), short(count / seconds), time, short(1e6 * median(r.cpu) / count), cpu,
		short(float64(r.size) / count), mebibytes(r.peak), r.remark,
	}
}
