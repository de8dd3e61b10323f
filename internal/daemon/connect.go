package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/output"
	"github.com/logcatchsys/logcatchsys/internal/record"
	"github.com/logcatchsys/logcatchsys/logconfig"
)

// connectTime bounds how long one output is tried.
const connectTime = 10 * time.Second

// Connect tries each output and writes a line for each: its name, and ok or what is
// wrong. No record is sent. The error says how many failed. Remarks on the
// configuration go to remarks.
func Connect(ctx context.Context, out, remarks io.Writer, c *logconfig.Config) error {
	for _, remark := range c.Warnings {
		fmt.Fprintf(remarks, "remark: %s\n", remark)
	}
	log := slog.New(slog.DiscardHandler)
	env := output.Env{Host: Hostname(log), Log: log}
	errs := make([]error, len(c.Outputs))
	var all sync.WaitGroup
	for i, o := range c.Outputs {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, min(o.Timeout, connectTime))
			defer cancel()
			errs[i] = Guard(func() error { return output.Probe(ctx, o, env, samples(c, o.Name)) })
		})
	}
	all.Wait()
	failed := 0
	for i, o := range c.Outputs {
		said := "ok"
		if errs[i] != nil {
			failed++
			said = strings.Join(strings.Fields(errs[i].Error()), " ") // one line
		}
		if _, err := fmt.Fprintf(out, "%s: %s\n", shown(o.Name), said); err != nil {
			return err
		}
	}
	switch failed {
	case 0:
		return nil
	case 1:
		return errors.New("an output could not deliver")
	}
	return fmt.Errorf("%d outputs could not deliver", failed)
}

// samples are empty batches, one for each source of the output.
func samples(c *logconfig.Config, name string) (all []*record.Batch) {
	for _, s := range c.Sources {
		for _, o := range s.Outputs {
			if o == name {
				all = append(all, &record.Batch{Source: s.Name, File: s.Path, Labels: labels(s.Labels), Read: time.Now()})
			}
		}
	}
	return all
}
