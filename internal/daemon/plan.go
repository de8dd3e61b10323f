package daemon

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/logcatchsys/logcatchsys/internal/output"
	"github.com/logcatchsys/logcatchsys/internal/status"
	"github.com/logcatchsys/logcatchsys/logconfig"
	"github.com/logcatchsys/logcatchsys/logtailf"
)

// A Plan is what a configuration wants to run: a tail for each source and output,
// and the outputs.
type Plan struct {
	Tails   map[status.Key]logtailf.Config
	Outputs map[string]logconfig.Output
}

// NewPlan makes the plan of a configuration on the machine called host. once: all
// tails end when they have read what there is.
func NewPlan(c *logconfig.Config, host string, once bool) Plan {
	p := Plan{map[status.Key]logtailf.Config{}, map[string]logconfig.Output{}}
	for _, o := range c.Outputs {
		p.Outputs[o.Name] = o
	}
	for _, s := range c.Sources {
		tail := tailOf(c, s)
		tail.Host, tail.Once = host, once
		for _, name := range s.Outputs {
			own := tail
			if most := output.MaxLine(p.Outputs[name]); most > 0 {
				own.MaxLine = min(own.MaxLine, most)
			}
			p.Tails[status.Key{Source: s.Name, Output: name}] = own
		}
	}
	return p
}

func tailOf(c *logconfig.Config, s logconfig.Source) logtailf.Config {
	return logtailf.Config{
		Source:     s.Name,
		Path:       s.Path,
		Literal:    !s.Glob,
		Exclude:    s.Exclude,
		Rotated:    s.Rotated,
		FromEnd:    s.Start == "end",
		Symlinks:   s.Symlinks,
		MaxLine:    s.MaxLine,
		Labels:     labels(s.Labels),
		Poll:       c.Poll,
		RotateWait: c.RotateWait,
		MaxDeleted: c.MaxDeleted,
	}
}

// labels is a JSON object with sorted keys; empty if there are none.
func labels(m map[string]string) string {
	if len(m) == 0 {
		return ""
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(m) // strings only: cannot fail
	return strings.TrimSuffix(b.String(), "\n")
}

// SameTail reports whether a tail that runs with a may go on undisturbed under b.
func SameTail(a, b logtailf.Config) bool { return reflect.DeepEqual(a, b) }

// sameOutput reports whether an output that runs may go on, and so may its tails.
func (p Plan) sameOutput(q Plan, name string) bool {
	a, inA := p.Outputs[name]
	b, inB := q.Outputs[name]
	return inA && inB && a.Equal(b)
}

// Changes are the attributes for a log line that says what becomes of this plan
// when it is replaced by next; none if it all runs on.
func (p Plan) Changes(next Plan) []any {
	var started, restarted, stopped, outputs []string
	for k, tail := range next.Tails {
		switch was, ok := p.Tails[k]; {
		case !ok:
			started = append(started, next.title(k))
		case !SameTail(was, tail) || !p.sameOutput(next, k.Output):
			restarted = append(restarted, next.title(k))
		}
	}
	for k := range p.Tails {
		if _, ok := next.Tails[k]; !ok {
			stopped = append(stopped, p.title(k))
		}
	}
	all := maps.Clone(p.Outputs)
	maps.Copy(all, next.Outputs)
	for name := range all {
		if !p.sameOutput(next, name) {
			outputs = append(outputs, name)
		}
	}
	var attrs []any
	for _, c := range []struct {
		verb  string
		names []string
	}{{"started", started}, {"restarted", restarted}, {"stopped", stopped}, {"outputs", outputs}} {
		if len(c.names) > 0 {
			attrs = append(attrs, c.verb, list(c.names))
		}
	}
	return attrs
}

// HandOver drops the figures of tails that next does not have any more. Those that
// it has are not ready from now on, until they are.
func (p Plan) HandOver(next Plan, m *status.Metrics) {
	for k := range p.Tails {
		if _, ok := next.Tails[k]; !ok {
			m.Remove(k)
		}
	}
	for k := range next.Tails {
		m.Tail(k)
	}
}

// title is what a person calls a tail.
func (p Plan) title(k status.Key) string {
	if len(p.Outputs) == 1 {
		return k.Source
	}
	return longTitle(k)
}

// longTitle is what a person calls a tail, whatever the plan.
func longTitle(k status.Key) string { return k.Source + "/" + k.Output }

func listOf(names map[string]bool) string { return list(slices.Collect(maps.Keys(names))) }

// list is some of the names: a line of the log stays one that can be read.
func list(names []string) string {
	const most = 10
	slices.Sort(names)
	more := ""
	if n := len(names) - most; n > 0 {
		names, more = names[:most], fmt.Sprintf(" and %d more", n)
	}
	return strings.Join(names, ", ") + more
}

// Keys are the tails of the plan, sorted.
func (p Plan) Keys() []status.Key {
	return slices.SortedFunc(maps.Keys(p.Tails), func(a, b status.Key) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Output, b.Output))
	})
}

// SayLeft says what a source that is not followed for an output any more has left behind.
func SayLeft(log *slog.Logger, k status.Key, f *logtailf.Follower) {
	if left := f.Stats().LagBytes; left > 0 {
		log.Warn("taken out of the configuration before everything was delivered; the rest comes when a source and an output of these names are there again",
			"source", k.Source, "output", k.Output, "bytes", left)
	}
}

// StatsOf asks a follower how it is doing.
func StatsOf(f *logtailf.Follower) func() status.Stats {
	return func() status.Stats {
		s := f.Stats()
		return status.Stats{
			Ready: s.Ready, Unread: s.Unread, LagBytes: s.LagBytes, LagSince: s.LagSince,
			OpenFiles: s.OpenFiles, Pending: s.Pending, Held: s.Held,
		}
	}
}
