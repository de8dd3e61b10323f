//go:build linux

package main

import (
	"fmt"
	"math"
	"strings"
)

// findings sums up the rounds.
func (s *backlogRun) findings(taking []collector) findings {
	t := table{
		title: fmt.Sprintf("Backlog: %s MiB, %s lines of %d bytes, %d rounds", thousands(s.size>>20), thousands(int64(s.lines)), s.line, s.rounds),
		note: "Seconds from the start of the process to the last line's being in the output file, which lies on the same file system; medians. " +
			"cat and --once: to the end of the process. \"Times cat\" and \"ours to it\" (lines per CPU second, `" + oursRaw + unsynced + "`) are medians of the ratios within a round; " +
			"json is compared with cat copying the JSON file that came out. Peak: the process's memory, VmHWM.",
		head: []string{"collector", "seconds", "MiB/s out", "lines/s", "times cat", "CPU s", "lines per CPU s", "ours to it", "peak MiB", "remark"},
	}
	f := findings{}
	for _, c := range taking {
		t.rows = append(t.rows, s.row(c.name))
		f.plot = append(f.plot, s.bar(c.name))
		if c.name == oursJSON+unsynced {
			t.rows = append(t.rows, s.row(catJSON))
			f.plot = append(f.plot, s.bar(catJSON))
		}
	}
	f.tables = []table{t}
	f.aims = s.aims(taking)
	return f
}

func (s *backlogRun) row(name string) []string {
	r := s.by[name]
	seconds := median(r.seconds)
	ours := math.NaN()
	if o := s.by[oursRaw+unsynced]; o != nil {
		ours = median(pairs(o.perCPU, r.perCPU))
	}
	return []string{
		name, short(seconds), short(float64(r.size>>20) / seconds), short(float64(s.lines) / seconds), short(s.timesCat(name)),
		short(median(r.cpu)), short(median(r.perCPU)), short(ours), mebibytes(r.peak), r.remark,
	}
}

func mebibytes(bytes int64) string {
	if bytes == 0 {
		return "–" // it was over before it could be sampled
	}
	return short(float64(bytes) / (1 << 20))
}

func (s *backlogRun) bar(name string) bar {
	seconds := median(s.by[name].seconds)
	return bar{label: name, value: seconds, text: short(seconds) + " s, " + short(float64(s.lines)/seconds/1e6) + " M lines/s", ours: strings.HasPrefix(name, "logcatchsys")}
}

// timesCat is the time compared with that of cat copying the same.
func (s *backlogRun) timesCat(name string) float64 {
	reference := s.by[cat]
	if strings.HasPrefix(name, oursJSON) || name == catJSON {
		reference = s.by[catJSON]
	}
	if reference == nil {
		return math.NaN()
	}
	return median(pairs(s.by[name].seconds, reference.seconds))
}

func (s *backlogRun) aims(taking []collector) (aims []aim) {
	for _, c := range taking {
		switch {
		case c.name == oursRaw+unsynced:
			aims = append(aims, atMost("backlog, raw: time, times cat", s.timesCat(c.name), 1.4))
		case c.name == oursJSON+unsynced:
			aims = append(aims, atMost("backlog, json: time, times cat of the JSON", s.timesCat(c.name), 2))
		case c.slow && s.by[oursRaw+unsynced] != nil:
			ratio := median(pairs(s.by[oursRaw+unsynced].perCPU, s.by[c.name].perCPU))
			a := aim{what: "backlog, raw: lines per CPU second, times " + c.name, want: "≥ 10", got: short(ratio), met: ratio >= 10}
			aims = append(aims, a)
		}
	}
	return aims
}

func atMost(what string, got, limit float64) aim {
	return aim{what: what, want: "≤ " + short(limit), got: short(got), met: got <= limit}
}
