//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/logcatchsys/logcatchsys/internal/traffic"
)

// A tool is an installed or unpacked program.
type tool struct {
	path    string
	env     []string // what it needs when it was unpacked
	modules string   // its own modules, if it was unpacked
	version string
}

// findPeers looks for rsyslog and syslog-ng in folder (into which Debian packages were unpacked; "" if
// none were) and then on the system. Those that are not there are in the list, too, with the reason.
func findPeers(ctx context.Context, folder string) []collector {
	return []collector{
		peer(ctx, folder, "rsyslog", "rsyslogd", "-v", `rsyslogd\s+(\S+)`, "rsyslog", rsyslogCommand),
		peer(ctx, folder, "syslog-ng", "syslog-ng", "--version", `\((\d+\.\d+\S*)\)`, "syslog-ng/*", syslogNgCommand),
	}
}

func peer(ctx context.Context, folder, name, binary, flag, version, modules string, command func(tool, job) (*exec.Cmd, error)) collector {
	c := collector{name: name, format: traffic.Raw, slow: true, in: all}
	t, err := findTool(folder, binary, modules)
	if err != nil {
		c.missing = "not installed"
		return c
	}
	cmd := exec.CommandContext(ctx, t.path, flag)
	cmd.Env = t.env
	said, err := cmd.CombinedOutput()
	match := regexp.MustCompile(version).FindSubmatch(said)
	if err != nil || match == nil {
		c.missing = fmt.Sprintf("does not say its version: %v %s", err, firstLine(said))
		return c
	}
	t.version = string(match[1])
	c.version = t.version
	c.command = func(j job) (*exec.Cmd, error) { return command(t, j) }
	return c
}

func findTool(folder, binary, modules string) (tool, error) {
	if folder != "" {
		for _, sub := range []string{"usr/sbin", "usr/bin", "sbin", "."} {
			path := filepath.Join(folder, sub, binary)
			if _, err := os.Stat(path); err == nil {
				return unpacked(folder, path, modules), nil
			}
		}
	}
	path, err := exec.LookPath(binary)
	if err != nil {
		path, err = exec.LookPath(filepath.Join("/usr/sbin", binary))
	}
	return tool{path: path}, err
}

// unpacked has a program find its libraries and modules below folder.
func unpacked(folder, path, modules string) tool {
	t := tool{path: path}
	libraries, _ := filepath.Glob(filepath.Join(folder, "usr/lib/*-linux-gnu*")) // the pattern is well formed
	if len(libraries) > 0 {
		t.env = append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(libraries, ":"))
	}
	for _, lib := range append(libraries, filepath.Join(folder, "usr/lib")) {
		if found, _ := filepath.Glob(filepath.Join(lib, modules)); len(found) > 0 {
			t.modules = found[0]
			break
		}
	}
	return t
}

func (t tool) cmd(args ...string) *exec.Cmd {
	cmd := exec.Command(t.path, args...)
	cmd.Env = t.env
	return cmd
}

// The state is saved every 1,000 lines: by default it is only at the end, and each kill -9 would
// repeat the whole file.
const rsyslogConfig = `global(workDirectory="%s")
module(load="imfile" mode="inotify")
template(name="line" type="string" string="%%msg%%\n")
input(type="imfile" file="%s" tag="bench" ruleset="copy" addMetadata="off" freshStartTail="off" persistStateInterval="1000")
ruleset(name="copy") { action(type="omfile" file="%s" template="line") }
`

func rsyslogCommand(t tool, j job) (*exec.Cmd, error) {
	config, err := j.write("rsyslog.conf", fmt.Sprintf(rsyslogConfig, filepath.Join(j.dir, "work"), j.input, j.out))
	args := []string{"-n", "-i", "NONE", "-f", config}
	if t.modules != "" {
		args = append(args, "-M", t.modules)
	}
	return t.cmd(args...), err
}

// Flow control, so that no line is dropped between source and destination, and room enough to fetch
// 1,000 lines at a time; the rest is as by default.
const syslogNgConfig = `@version: %s
options { stats-freq(0); };
source s { %s(%s flags(no-parse) log-fetch-limit(1000) log-iw-size(%d)); };
destination d { file("%s" template("${MESSAGE}\n") log-fifo-size(%d)); };
log { source(s); destination(d); flags(flow-control); };
`

func syslogNgCommand(t tool, j job) (*exec.Cmd, error) {
	driver, what := "file", fmt.Sprintf("%q", j.input)
	if j.files > 1 {
		dir, pattern := filepath.Split(j.input)
		driver, what = "wildcard-file", fmt.Sprintf("base-dir(%q) filename-pattern(%q) max-files(%d)", dir, pattern, j.files+1)
	}
	window := max(10_000, 100*j.files)
	major := strings.Join(strings.SplitN(t.version, ".", 3)[:2], ".")
	config, err := j.write("syslog-ng.conf", fmt.Sprintf(syslogNgConfig, major, driver, what, window, j.out, 2*window))
	args := []string{
		"-F", "--no-caps", "-f", config,
		"-R", j.work("persist"), "-c", j.work("control"), "-p", j.work("pid"),
	}
	if t.modules != "" {
		args = append(args, "--module-path="+t.modules)
	}
	return t.cmd(args...), err
}
