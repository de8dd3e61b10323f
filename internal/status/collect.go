package status

import (
	"maps"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The figures live in atomics of our own and become metrics when they are asked
// for: no lookup on the path of a batch, and what is removed leaves nothing behind.

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("logcatchsys_"+name, help, labels, nil)
}

// A tailMetric is one figure of a Tail.
type tailMetric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*Tail, Stats) float64
}

func counter(name, help string, value func(*Tail) int64) tailMetric {
	return tailMetric{describe(name, help, "source", "output"), prometheus.CounterValue,
		func(t *Tail, _ Stats) float64 { return float64(value(t)) }}
}

func gauge(name, help string, value func(Stats) float64) tailMetric {
	return tailMetric{describe(name, help, "source", "output"), prometheus.GaugeValue,
		func(_ *Tail, s Stats) float64 { return value(s) }}
}

var lagBytesDesc = describe("lag_bytes", "Bytes in files that the output has not accepted yet; absent while nothing runs.", "source", "output")

// A new figure of a tail is one line here.
var tailMetrics = []tailMetric{
	counter("read_bytes_total", "Bytes read.", func(t *Tail) int64 { return t.readBytes.Load() }),
	counter("read_records_total", "Records read.", func(t *Tail) int64 { return t.readRecords.Load() }),
	counter("delivered_bytes_total", "Bytes of files that the output has durably accepted.",
		func(t *Tail) int64 { return t.deliveredBytes.Load() }),
	counter("delivered_records_total", "Records that the output has durably accepted.",
		func(t *Tail) int64 { return t.deliveredRecords.Load() }),
	counter("tailer_restarts_total", "Tail goroutines that failed and were started again.",
		func(t *Tail) int64 { return t.restarts.Load() }),
	{lagBytesDesc, prometheus.GaugeValue, func(_ *Tail, s Stats) float64 { return float64(s.LagBytes) }},
	gauge("lag_seconds", "For how long there has been something that the output has not accepted.", lagSeconds),
	gauge("open_files", "Files held open.", func(s Stats) float64 { return float64(s.OpenFiles) }),
	gauge("pending_generations", "Rotated files not let go yet.", func(s Stats) float64 { return float64(s.Pending) }),
	gauge("held_deleted_bytes", "Bytes of deleted files that the output still needs.",
		func(s Stats) float64 { return float64(s.Held) }),
}

func lagSeconds(s Stats) float64 {
	if s.LagSince.IsZero() {
		return 0
	}
	return max(time.Since(s.LagSince).Seconds(), 0)
}

var (
	abandonedDesc = describe("abandoned_bytes_total", "Bytes that will never be delivered.", "source", "output", "reason")
	droppedDesc   = describe("dropped_records_total", "Records that the output will never take; they are in its dead letter, if it has one.", "source", "output", "reason")
	retriesDesc   = describe("retries_total", "Writes, flushes and commits that failed and were tried again.", "output")
	upDesc        = describe("output_up", "Whether what the output tried last has worked.", "output")
	reloadsDesc   = describe("config_reloads_total", "Changed configurations that were taken, or were not.", "result")
	loadedDesc    = describe("config_last_reload_successful", "Whether the configuration was taken when it was loaded last.")
	loadedAtDesc  = describe("config_last_reload_success_timestamp_seconds", "When a configuration was taken last.")
)

// Describe is part of prometheus.Collector.
func (m *Metrics) Describe(out chan<- *prometheus.Desc) {
	for _, tm := range tailMetrics {
		out <- tm.desc
	}
	for _, d := range []*prometheus.Desc{abandonedDesc, droppedDesc, retriesDesc, upDesc, reloadsDesc, loadedDesc, loadedAtDesc} {
		out <- d
	}
}

// Collect is part of prometheus.Collector.
func (m *Metrics) Collect(out chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	for _, e := range m.sorted() {
		stats, waits := e.tail.now()
		for _, tm := range tailMetrics {
			if waits != "" && tm.desc == lagBytesDesc {
				continue // nobody knows
			}
			send(tm.desc, tm.kind, tm.value(e.tail, stats), e.Source, e.Output)
		}
		abandoned, dropped := e.tail.lost()
		for reason, bytes := range abandoned {
			send(abandonedDesc, prometheus.CounterValue, float64(bytes), e.Source, e.Output, reason)
		}
		for reason, records := range dropped {
			send(droppedDesc, prometheus.CounterValue, float64(records), e.Source, e.Output, reason)
		}
	}
	m.mu.RLock()
	outputs := maps.Clone(m.outputs)
	m.mu.RUnlock()
	for name, o := range outputs {
		send(retriesDesc, prometheus.CounterValue, float64(o.retries.Load()), name)
		up := 1.0
		if o.fails.Load() {
			up = 0
		}
		send(upDesc, prometheus.GaugeValue, up, name)
	}
	send(reloadsDesc, prometheus.CounterValue, float64(m.reloads[0].Load()), "failed")
	send(reloadsDesc, prometheus.CounterValue, float64(m.reloads[1].Load()), "taken")
	loaded := 0.0
	if m.loaded.Load() {
		loaded = 1
	}
	send(loadedDesc, prometheus.GaugeValue, loaded)
	send(loadedAtDesc, prometheus.GaugeValue, float64(m.loadedAt.Load())/1e9)
}
