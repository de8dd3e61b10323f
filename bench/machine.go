//go:build linux

package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A fact is something about the machine that the figures depend on.
type fact struct{ name, value string }

// machineFacts are those of the machine, of the file system of dir and of the peers.
func machineFacts(ctx context.Context, dir string, peers []collector) []fact {
	facts := []fact{
		{"processor", fmt.Sprintf("%s, %d cores", procField("/proc/cpuinfo", "model name"), runtime.NumCPU())},
		{"memory", procField("/proc/meminfo", "MemTotal")},
		{"kernel", kernel()},
		{"Go", runtime.Version()},
		{"file system", fileSystem(ctx, dir)},
		{"load average at the end", strings.TrimSpace(readText("/proc/loadavg"))},
		{"cat", output(ctx, "cat", "--version")},
		{"hpcloud/tail", "v1.0.0, polling unless it says inotify"},
	}
	for _, c := range peers {
		version := c.version
		if c.missing != "" {
			version = c.missing
		}
		facts = append(facts, fact{c.name, version})
	}
	return facts
}

// libraries are those that the outputs over a network are compared through, and their far ends, as the
// binaries were built with them.
func libraries(binaries ...string) (facts []fact) {
	for _, path := range binaries {
		info, err := buildinfo.ReadFile(path)
		if err != nil {
			continue // it was not built: nothing was measured with it
		}
		for _, m := range info.Deps {
			switch m.Path {
			case "github.com/twmb/franz-go", "github.com/twmb/franz-go/pkg/kfake", "github.com/nats-io/nats.go", "github.com/nats-io/nats-server/v2":
				f := fact{m.Path, m.Version}
				if !slices.Contains(facts, f) {
					facts = append(facts, f)
				}
			}
		}
	}
	return facts
}

// procField is the first value of that name in a file of lines "name: value".
func procField(path, name string) string {
	for line := range strings.Lines(readText(path)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

func readText(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	return string(data)
}

func kernel() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:]) + " " + unix.ByteSliceToString(u.Machine[:])
}

// fileSystem is the type and the device of what dir lies on.
func fileSystem(ctx context.Context, dir string) string {
	lines := strings.Split(output(ctx, "df", "--output=fstype,source", dir), "\n")
	return strings.Join(strings.Fields(lines[len(lines)-1]), " on ")
}

// output is what a command says; of several lines of a version, the first.
func output(ctx context.Context, name string, args ...string) string {
	said, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		return "unknown"
	}
	if len(args) > 0 && args[0] == "--version" {
		return firstLine(said)
	}
	return strings.TrimSpace(string(said))
}

func firstLine(b []byte) string {
	line, _, _ := bytes.Cut(bytes.TrimSpace(b), []byte("\n"))
	return string(line)
}
