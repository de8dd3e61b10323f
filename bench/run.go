//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// A section measures one thing of all collectors.
type section struct {
	name    string
	measure func(*bench, context.Context) (findings, error)
}

func sections() []section {
	return []section{
		{"backlog", (*bench).backlog},
		{"latency", (*bench).latency},
		{"rotation", (*bench).rotation},
		{"idle", (*bench).idleFiles},
		{"kill", (*bench).kill},
		{"outputs", (*bench).outputs},
	}
}

func sectionNames() (names []string) {
	for _, s := range sections() {
		names = append(names, s.name)
	}
	return names
}

// findings are what a section found.
type findings struct {
	tables []table
	aims   []aim
	plot   []bar
}

// An aim is a figure that the collector is to reach.
type aim struct {
	what, want, got string
	met             bool
}

// bench is one run of the program.
type bench struct {
	options
	collectors []collector
	links      []link
	farEnd     string // binary
	tmp        string
	progress   io.Writer
	runs       int // gives each measurement a folder of its own
}

// run measures what the options say and writes the report to o.out, its tables also to stdout.
func run(ctx context.Context, o options, stdout, progress io.Writer) (err error) {
	tmp, err := os.MkdirTemp(o.dir, "logbench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	made, err := build(ctx, o.module, tmp)
	if err != nil {
		return err
	}
	b := &bench{options: o, links: links(made), farEnd: made.farEnd, tmp: tmp, progress: progress}
	peers := findPeers(ctx, o.peers)
	b.collectors = pick(append(collectors(made.ours, made.hpcloud), peers...), o.with)
	found, err := b.measureAll(ctx)
	if err != nil {
		return err
	}
	facts := append(machineFacts(ctx, tmp, peers), libraries(made.limit, made.farEnd)...)
	r := report{facts: facts, options: o, findings: found, at: time.Now()}
	if err := r.text(stdout); err != nil {
		return fmt.Errorf("printing the tables: %w", err)
	}
	return r.write(o.out)
}

func (b *bench) measureAll(ctx context.Context) (all findings, err error) {
	for _, s := range sections() {
		if !contains(b.only, s.name) {
			continue
		}
		f, err := s.measure(b, ctx)
		if err != nil {
			return all, fmt.Errorf("%s: %w", s.name, err)
		}
		all.tables = append(all.tables, f.tables...)
		all.aims = append(all.aims, f.aims...)
		all.plot = append(all.plot, f.plot...)
	}
	return all, nil
}

// job makes the folders of one measurement. release removes them.
func (b *bench) job(c collector) (j job, release func(), err error) {
	b.runs++
	dir := filepath.Join(b.tmp, fmt.Sprintf("run%d", b.runs))
	j = job{
		dir: dir, input: filepath.Join(dir, "in", "app.log"), files: 1,
		out: filepath.Join(dir, "out", "out.log"),
	}
	for _, folder := range []string{"in", "out", "work"} {
		if err = os.MkdirAll(filepath.Join(dir, folder), 0o755); err != nil {
			return j, nil, err
		}
	}
	return j, func() {
		if err := os.RemoveAll(dir); err != nil {
			b.say("%s: %v", c.name, err)
		}
	}, nil
}

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.progress, format+"\n", args...)
}

// taking are the collectors that take part in a section.
func (b *bench) taking(name string) (those []collector) {
	for _, c := range b.collectors {
		if contains(c.in, name) {
			those = append(those, c)
		}
	}
	return those
}
