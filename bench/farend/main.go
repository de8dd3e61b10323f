// Command farend is what bench has the outputs over a network deliver to: a server that counts the
// records it is given and does as little else as its protocol permits. It prints its address, serves
// until stdin ends, and prints how many records it has accepted, and how many bytes they had.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/twmb/franz-go/pkg/kfake"
)

// A farEnd is a running server.
type farEnd interface {
	addr() string
	count() (tally, error) // of what was accepted so far
	close()
}

// A tally counts records and their bytes: those of bodies or of record batches, compressed as they
// come; for nats, those that the stream stores.
type tally struct{ records, bytes uint64 }

var farEnds = map[string]func(dir string) (farEnd, error){
	"http":  newHTTP,
	"kafka": func(string) (farEnd, error) { return newKafka(kfake.BlackholeProduce()) },
	"nats":  newNATS,

	// Who commits positions together with records reads them back, so that they have to be kept.
	"kafka-memory": func(string) (farEnd, error) { return newKafka() },
}

func main() {
	if len(os.Args) != 3 || farEnds[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: farend http|kafka|kafka-memory|nats FOLDER")
		os.Exit(2)
	}
	if err := serve(os.Args[1], os.Args[2], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "farend:", err)
		os.Exit(1)
	}
}

// serve keeps what must be on disk in dir.
func serve(kind, dir string, in io.Reader, out io.Writer) error {
	f, err := farEnds[kind](dir)
	if err != nil {
		return fmt.Errorf("%s: %w", kind, err)
	}
	defer f.close()
	if _, err := fmt.Fprintln(out, f.addr()); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		return err
	}
	t, err := f.count()
	if err != nil {
		return fmt.Errorf("%s: counting: %w", kind, err)
	}
	_, err = fmt.Fprintln(out, t.records, t.bytes)
	return err
}
