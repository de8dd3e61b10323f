//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// A link is an output over a network in one setting: the collector with that output, and the limit, a
// program that sends the same records from memory through the same client library.
type link struct {
	name        string
	farEnd      string // what bench/farend is to be
	library     string
	share       float64 // of --lines: enough for a second or more, and no more than the far end takes in ten
	ours, limit collector
}

const linkConfig = `configpath:
  bench: {path: '%s', start: beginning}
outputs:
  out: %s
state: '%s'
http: ''
`

// links are all that are measured. TO in a setting stands for the far end's host and port.
func links(made binaries) (all []link) {
	add := func(share float64, name, farEnd, library, settings string, limitArgs ...string) {
		protocol, _, _ := strings.Cut(farEnd, "-")
		all = append(all, link{
			name: name, farEnd: farEnd, library: library, share: share,
			ours: collector{name: name, exits: true, command: func(j job) (*exec.Cmd, error) {
				to := strings.ReplaceAll(settings, "TO", j.to)
				config, err := j.write("config.yaml", fmt.Sprintf(linkConfig, j.input, to, j.work("state")))
				return exec.Command(made.ours, "run", "-c", config, "--once"), err
			}},
			limit: collector{name: name + ", limit", exits: true, command: func(j job) (*exec.Cmd, error) {
				args := append([]string{
					"-lines", strconv.FormatUint(j.lines, 10), "-line", strconv.Itoa(j.line), "-source", sourceName, "-file", j.input,
				}, limitArgs...)
				return exec.Command(made.limit, append(args, protocol, j.to)...), nil
			}},
		})
	}
	add(4, "http", "http", "net/http", "{type: http, url: 'http://TO/'}")
	add(1, "http, gzip", "http", "net/http", "{type: http, url: 'http://TO/', compression: gzip}", "-compression", "gzip")
	add(1, "kafka", "kafka", "franz-go", "{type: kafka, brokers: ['TO']}")
	add(1, "kafka, exactly_once", "kafka-memory", "franz-go", "{type: kafka, brokers: ['TO'], exactly_once: true}", "-exactly-once")
	add(0.25, "nats", "nats", "nats.go", "{type: nats, servers: ['nats://TO'], stream: LOGS}")
	return all
}

// A server is a running far end.
type server struct {
	cmd   *exec.Cmd
	stdin io.Closer
	out   *bufio.Reader
	addr  string
}

// serve starts a far end that keeps its files in the job's folder.
func (b *bench) serve(ctx context.Context, kind string, j job) (*server, error) {
	dir := j.work("farend")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, b.farEnd, kind, dir)
	cmd.Stderr = b.progress
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{cmd: cmd, stdin: stdin, out: bufio.NewReader(stdout)}
	if s.addr, err = s.said(); err != nil {
		_, _, ended := s.end()
		return nil, errors.Join(err, ended)
	}
	return s, nil
}

func (s *server) said() (string, error) {
	line, err := s.out.ReadString('\n')
	return strings.TrimSpace(line), err
}

// end stops the far end, and says how many records and bytes it was given.
func (s *server) end() (records, bytes uint64, err error) {
	err = s.stdin.Close()
	text, _ := s.said() // that it says nothing comes out of Wait, and of the scan
	if err = errors.Join(err, s.cmd.Wait()); err == nil {
		_, err = fmt.Sscan(text, &records, &bytes)
	}
	if err != nil {
		err = fmt.Errorf("far end: %w", err)
	}
	return records, bytes, err
}
