//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/logcatchsys/logcatchsys/internal/traffic"
)

// A collector is one program in one setting.
type collector struct {
	name    string
	version string
	format  traffic.Format // of its output
	in      []string       // the sections it takes part in
	exits   bool           // ends by itself when all is delivered
	slow    bool           // takes part in the first rounds of the backlog only
	missing string         // why it cannot run; "" if it can
	command func(job) (*exec.Cmd, error)
}

// A job is what a collector is to do: bring the lines of input to out.
type job struct {
	dir   string // has a folder "work" for the collector
	input string // a path or, with several files, a pattern
	files int    // how many it matches
	out   string
	to    string // host:port of a far end, for an output over a network
	lines uint64 // how many go there
	line  int    // bytes of one
}

func (j job) work(name string) string { return filepath.Join(j.dir, "work", name) }

// write makes a file in the collector's folder and returns its path.
func (j job) write(name, text string) (string, error) {
	path := j.work(name)
	return path, os.WriteFile(path, []byte(text), 0o644)
}

var (
	all       = []string{"backlog", "latency", "rotation", "idle", "kill"}
	following = []string{"latency", "rotation", "idle", "kill"}
)

// The names that sections compare by.
const (
	cat      = "cat"
	oursRaw  = "logcatchsys raw"
	oursJSON = "logcatchsys json"
	unsynced = ", sync: false"
)

// collectors are ours, cat, and the hpcloud/tail follower. Ours runs with and without fsync: the
// others, but cat, can only do without.
func collectors(ours, hpcloud string) []collector {
	own := func(name string, f traffic.Format, sync bool, in ...string) collector {
		return collector{name: name, format: f, in: in, command: func(j job) (*exec.Cmd, error) {
			return oursCommand(ours, j, f, sync)
		}}
	}
	once := func(name string, f traffic.Format) collector {
		c := own(name, f, false, "backlog")
		follow := c.command
		c.exits, c.command = true, func(j job) (*exec.Cmd, error) {
			cmd, err := follow(j)
			if err == nil {
				cmd.Args = append(cmd.Args, "--once")
			}
			return cmd, err
		}
		return c
	}
	tail := func(name string, in []string, args ...string) collector {
		return collector{name: name, format: traffic.Raw, slow: true, in: in, command: func(j job) (*exec.Cmd, error) {
			return toStdout(j, os.O_APPEND, hpcloud, append(args, j.input)...)
		}}
	}
	return []collector{
		{name: cat, format: traffic.Raw, exits: true, in: []string{"backlog"}, command: catCommand},
		own(oursRaw+unsynced, traffic.Raw, false, "backlog", "latency"),
		own(oursJSON+unsynced, traffic.JSON, false, "backlog"),
		once(oursRaw+unsynced+", --once", traffic.Raw),
		once(oursJSON+unsynced+", --once", traffic.JSON),
		own(oursRaw, traffic.Raw, true, all...),
		own(oursJSON, traffic.JSON, true, all...),
		tail("hpcloud/tail", all),
		tail("hpcloud/tail, inotify", following, "-inotify"),
	}
}

// pick keeps the collectors whose names begin with one of those; all, if none is given.
func pick(from []collector, those []string) []collector {
	if len(those) == 0 {
		return from
	}
	return slices.DeleteFunc(from, func(c collector) bool {
		return !slices.ContainsFunc(those, func(name string) bool { return strings.HasPrefix(c.name, name) })
	})
}

const oursConfig = `configpath:
  bench: {path: '%s', start: beginning}
outputs:
  out: {type: file, path: '%s', format: %s, sync: %v}
state: '%s'
http: ''
`

func oursCommand(binary string, j job, f traffic.Format, sync bool) (*exec.Cmd, error) {
	config, err := j.write("config.yaml", fmt.Sprintf(oursConfig, j.input, j.out, f, sync, j.work("state")))
	return exec.Command(binary, "run", "-c", config), err
}

// catCommand truncates and does not append: the kernel copies only for a descriptor without O_APPEND.
func catCommand(j job) (*exec.Cmd, error) { return toStdout(j, os.O_TRUNC, "cat", j.input) }

// toStdout is a program that writes to its stdout; whoever starts it closes that file.
func toStdout(j job, flag int, name string, args ...string) (*exec.Cmd, error) {
	out, err := os.OpenFile(j.out, os.O_CREATE|os.O_WRONLY|flag, 0o644)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(name, args...)
	cmd.Stdout = out
	return cmd, nil
}
