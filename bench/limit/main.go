// Command limit sends log records from memory through the client library that an output of the
// collector uses, as fast as the library goes: what bench compares that output with. The records are
// as the collector makes them, of the same lines, and encoded before the first one is sent.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
)

// options are the command line.
type options struct {
	address     string // of the far end, host:port
	lines       uint64 // to send
	line        int    // bytes of a line, its end included
	source      string
	file        string // the path that the records are said to come from
	compression string // http: gzip or none
	exactlyOnce bool   // kafka: in transactions
}

// senders send all that the options say and return when all of it is acknowledged.
var senders = map[string]func(options) error{
	"http":  sendHTTP,
	"kafka": sendKafka,
	"nats":  sendNATS,
}

func main() { os.Exit(run(os.Args[1:], os.Stderr)) }

func run(args []string, stderr io.Writer) int {
	var o options
	flags := flag.NewFlagSet("limit", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Uint64Var(&o.lines, "lines", 1_000_000, "`number` of records")
	flags.IntVar(&o.line, "line", 128, "`bytes` of a line")
	flags.StringVar(&o.source, "source", "bench", "`name` of the source")
	flags.StringVar(&o.file, "file", "/var/log/app.log", "`path` that the records are said to come from")
	flags.StringVar(&o.compression, "compression", "none", "http: gzip or none")
	flags.BoolVar(&o.exactlyOnce, "exactly-once", false, "kafka: in transactions")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	send := senders[flags.Arg(0)]
	if send == nil || flags.NArg() != 2 {
		fmt.Fprintln(stderr, "usage: limit [flags] http|kafka|nats HOST:PORT")
		return 2
	}
	o.address = flags.Arg(1)
	if err := send(o); err != nil {
		fmt.Fprintln(stderr, "limit:", err)
		return 1
	}
	return 0
}
