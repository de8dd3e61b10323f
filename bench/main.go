//go:build linux

// Command bench measures, side by side and in one run, this collector, cat, a plain hpcloud/tail
// follower, rsyslog and syslog-ng, and the outputs over a network beside their client libraries alone,
// and writes a report with a plot.
//
// The machine's noise is met by alternation (A B C A B C …), medians, and ratios that are taken
// within a round.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are the command line.
type options struct {
	size    int64         // bytes of the backlog
	lines   int64         // to each output over a network
	line    int           // bytes of a line, its end included
	rounds  int           // of the backlog, where the slow ones take part in the first 3, and of the outputs
	seconds float64       // of each measurement but the backlog, the outputs and the idle files
	quiet   time.Duration // an output that has not changed for so long is complete
	rate    float64       // lines a second of the rotations and the kills
	kills   int
	idle    []int         // numbers of files
	settle  time.Duration // from the arrival of the idle files' lines to the measurement
	idling  float64       // seconds of it
	only    []string      // sections
	with    []string      // collectors and outputs, by the beginning of their names; none: all
	peers   string        // folder that .deb packages were unpacked into
	dir     string        // where the temporary folder is made
	out     string        // folder of the report
	module  string        // folder of the module that is built
}

func defaults() options {
	return options{
		lines: 1_000_000,
		size:  1 << 30, line: 128, rounds: 5, seconds: 10, quiet: 3 * time.Second, rate: 20_000,
		kills: 5, idle: []int{1000, 10_000}, settle: 3 * time.Second, idling: 45,
		only: sectionNames(), dir: os.TempDir(), out: filepath.Join("bench", "results"), module: ".",
	}
}

// quick makes of each section the smallest that still shows whether it works.
func (o *options) quick() {
	o.size, o.lines, o.rounds, o.seconds, o.quiet = 4<<20, 20_000, 1, 1, 1500*time.Millisecond
	o.kills, o.idle, o.settle, o.idling = 1, []int{20, 50}, 200*time.Millisecond, 1
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parse(os.Args[1:], os.Stderr)
	if err != nil {
		os.Exit(2)
	}
	if err := run(ctx, o, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse(args []string, stderr io.Writer) (options, error) {
	o := defaults()
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	size := flags.Int64("size", o.size>>20, "`MiB` of the backlog")
	only := flags.String("only", strings.Join(o.only, ","), "`sections` to measure")
	with := flags.String("with", "", "`collectors` and outputs to measure, by the beginning of their names (default all)")
	quick := flags.Bool("quick", false, "a few MB and seconds: shows that it works, its figures mean nothing")
	flags.Int64Var(&o.lines, "lines", o.lines, "`number` of lines to each output over a network")
	flags.IntVar(&o.rounds, "rounds", o.rounds, "rounds of the backlog, where the slow ones take part in the first 3, and of the outputs")
	flags.Float64Var(&o.seconds, "seconds", o.seconds, "seconds of each measurement but the backlog, the outputs and the idle files")
	flags.Float64Var(&o.idling, "idle-seconds", o.idling, "seconds of the idle files; a collector's slow sweep has to fall into them")
	flags.StringVar(&o.peers, "peers", "", "`folder` that packages of rsyslog and syslog-ng were unpacked into (dpkg -x)")
	flags.StringVar(&o.dir, "dir", o.dir, "`folder` on the file system to measure")
	flags.StringVar(&o.out, "out", o.out, "`folder` of the report")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.size = *size << 20
	o.only = strings.Split(*only, ",")
	if *with != "" {
		o.with = strings.Split(*with, ",")
	}
	if *quick {
		o.quick()
	}
	err := o.validate(flags.Args())
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
	}
	return o, err
}

func (o *options) validate(args []string) error {
	for _, name := range o.only {
		if !slices.Contains(sectionNames(), name) {
			return fmt.Errorf("--only: %q is none of %v", name, sectionNames())
		}
	}
	switch {
	case len(args) > 0:
		return fmt.Errorf("unexpected argument %q", args[0])
	case o.size < 1<<20 || o.size > 1<<40:
		return fmt.Errorf("--size: must be from 1 to %d MiB, is %d", 1<<20, o.size>>20)
	case o.lines < 1:
		return fmt.Errorf("--lines: must be at least 1, is %d", o.lines)
	case o.rounds < 1:
		return fmt.Errorf("--rounds: must be at least 1, is %d", o.rounds)
	case !(min(o.seconds, o.idling) >= 0.1 && max(o.seconds, o.idling) <= 86_400):
		return fmt.Errorf("--seconds, --idle-seconds: must be from 0.1 to 86400, are %v and %v", o.seconds, o.idling)
	}
	return nil
}
