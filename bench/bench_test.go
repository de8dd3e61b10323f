//go:build linux

package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/leak"
	"github.com/logcatchsys/logcatchsys/internal/traffic"
)

func TestMain(m *testing.M) { leak.Main(m) }

func quickOptions(t *testing.T) options {
	o := defaults()
	o.quick()
	o.seconds, o.idle, o.idling = 0.4, []int{20}, 0.2
	o.quiet = 5 * time.Second // only who loses the last line takes so long, the others a tenth
	o.module, o.dir, o.out = "..", t.TempDir(), t.TempDir()
	return o
}

// The whole program, in small: every row is there, and ours neither lost nor repeated a line. No
// timing is looked at: a busy machine is no fault of the code.
func TestSmoke(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the collector and runs it for some seconds")
	}
	o := quickOptions(t)
	o.with = []string{"logcatchsys", "hpcloud/tail", cat, "http", "kafka", "nats"}
	var stdout bytes.Buffer
	if err := run(t.Context(), o, &stdout, io.Discard); err != nil {
		t.Fatal(err)
	}
	md, machine, _ := strings.Cut(read(t, filepath.Join(o.out, "report.md")), "## Machine")
	if !strings.Contains(machine, "| kernel | Linux ") {
		t.Errorf("the machine is not described: %s", machine)
	}
	for _, c := range pick(collectors("", ""), o.with) {
		if got := strings.Count(md, "| "+c.name+" |"); got != len(c.in) {
			t.Errorf("%s has %d rows, want %d", c.name, got, len(c.in))
		}
	}
	if !strings.Contains(machine, "| github.com/twmb/franz-go | v1") {
		t.Errorf("the client libraries are not described: %s", machine)
	}
	for _, l := range links(binaries{}) {
		for _, name := range []string{l.name, l.name + ": limit, " + l.library} {
			row := regexp.MustCompile(`(?m)^\| ` + name + ` \|(.*)\|([^|]*)\|  \|$`).FindStringSubmatch(md)
			// The peak of one that was over before it was sampled is not known: that may be.
			if row == nil || strings.Contains(row[1], "–") {
				t.Errorf("%s: no row without a remark, or figures that lack: %q", name, row)
			}
		}
	}
	for _, line := range strings.Split(md, "\n") {
		loss := strings.Contains(line, "lost, repeated")
		if loss && !strings.HasSuffix(line, "| 0 | 0 | yes |") || strings.Contains(line, "| logcatchsys") && !strings.HasSuffix(line, " |  |") {
			t.Error(line)
		}
	}
	if n := strings.Count(md, "lost, repeated"); n != 4 {
		t.Errorf("%d aims of loss, want 4 (raw and json; rotation and kill)", n)
	}
	if svg := read(t, filepath.Join(o.out, "backlog.svg")); !strings.Contains(svg, ">"+catJSON+"<") {
		t.Errorf("the plot lacks %q", catJSON)
	}
	if !strings.Contains(stdout.String(), "Aims") || t.Failed() {
		t.Log(stdout.String())
	}
	if left, _ := os.ReadDir(o.dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// script is a collector made of a shell script, which finds $IN, $OUT and $WORK.
func script(text string) collector {
	return collector{name: "script", format: traffic.Raw, in: all, command: func(j job) (*exec.Cmd, error) {
		cmd := exec.Command("sh", "-c", text)
		cmd.Env = append(os.Environ(), "IN="+j.input, "OUT="+j.out, "WORK="+j.work(""))
		return cmd, nil
	}}
}

func testBench(t *testing.T, those ...collector) *bench {
	b := &bench{options: quickOptions(t), collectors: those, tmp: t.TempDir(), progress: io.Discard}
	for _, c := range those {
		b.links = append(b.links, link{name: c.name, share: 1, farEnd: "http", ours: c, limit: collector{name: "limit", command: c.command}})
	}
	return b
}

// rowsOf runs one section with a collector and returns the cells of its row.
func rowOf(t *testing.T, c collector, name string) []string {
	t.Helper()
	b := testBench(t, c)
	b.farEnd = fakeFarEnd(t, "3 30")
	for _, s := range sections() {
		if s.name != name {
			continue
		}
		f, err := s.measure(b, t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range f.tables[0].rows {
			if row[0] == c.name {
				return row
			}
		}
	}
	t.Fatalf("%s has no row of %s", name, c.name)
	return nil
}

// tail and sed are a process group: SIGTERM has to reach both.
const editing = `tail -c +1 -f "$IN" | sed -u '%s' > "$OUT"`

func TestLossesAreSeen(t *testing.T) {
	for what, test := range map[string]struct{ edit, lost, repeated string }{
		"nothing":  {"", "0", "0"},
		"lost":     {"5d", "1", "0"},
		"repeated": {"7p; 8p", "0", "2"},
	} {
		b := testBench(t, script(strings.Replace(editing, "%s", test.edit, 1)))
		b.kills = 0
		f, err := b.kill(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		row := f.tables[0].rows[0]
		if row[3] != test.lost || row[4] != test.repeated || row[7] != "" {
			t.Errorf("%s: %q", what, row)
		}
	}
}

func TestKillIsAKill(t *testing.T) {
	ends := filepath.Join(t.TempDir(), "ends")
	row := rowOf(t, script(`trap 'echo end >> "`+ends+`"; exit' TERM; tail -c +1 -f "$IN" >> "$OUT" & wait`), "kill")
	if row[3] != "0" || row[4] == "0" {
		t.Errorf("three starts from the beginning: %q", row)
	}
	if got := read(t, ends); got != "end\n" {
		t.Errorf("asked to end more than once, at the end: %q", got)
	}
}

// fakeFarEnd says so many records and bytes at its end, whatever it got.
func fakeFarEnd(t *testing.T, says string) (binary string) {
	t.Helper()
	binary = filepath.Join(t.TempDir(), "farend")
	text := "#!/bin/sh\necho 127.0.0.1:1\ncat > /dev/null\necho " + says + "\n"
	if err := os.WriteFile(binary, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return binary
}

// A program that does not start, or does nothing, is a row with a remark.
func TestFailuresAreRemarks(t *testing.T) {
	missing := script("")
	missing.missing = "not installed"
	for _, name := range sectionNames() {
		for c, want := range map[*collector]string{&missing: "not installed", failing(`echo boom | tee >&2; exit 3`): "boom"} {
			row := rowOf(t, *c, name)
			if remark := row[len(row)-1]; !strings.Contains(remark, want) {
				t.Errorf("%s: %q, want %q", name, row, want)
			}
		}
	}
}

func failing(text string) *collector {
	c := script(text)
	return &c
}

func TestBacklogChecksWhatArrived(t *testing.T) {
	row := rowOf(t, script(`sed 3d "$IN" > "$OUT"; exec sleep 60`), "backlog")
	if row[1] == "–" || row[len(row)-1] != "1 lost" {
		t.Errorf("one line lost: %q", row)
	}
}

func TestLatencyCountsEachLine(t *testing.T) {
	row := rowOf(t, script(`exec tail -c +1 -f "$IN" > "$OUT"`), "latency")
	if row[1] != "40" || row[2] == "–" || row[len(row)-1] != "" {
		t.Errorf("got %q", row)
	}
}
