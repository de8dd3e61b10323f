//go:build linux

package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// A table is one of the report. The first column is a name, the rest are figures and a remark.
type table struct {
	title, note string
	head        []string
	rows        [][]string
}

// A report is everything that is written at the end.
type report struct {
	facts    []fact
	options  options
	findings findings
	at       time.Time
}

// tables are those of the findings, the aims first.
func (r *report) tables() []table {
	aims := table{title: "Aims", head: []string{"figure", "aim", "measured", "reached"}}
	for _, a := range r.findings.aims {
		reached := "yes"
		if !a.met {
			reached = "NO"
		}
		aims.rows = append(aims.rows, []string{a.what, a.want, a.got, reached})
	}
	return append([]table{aims}, r.findings.tables...)
}

// text prints the tables for a terminal.
func (r *report) text(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, table := range r.tables() {
		fmt.Fprintf(t, "%s\n", table.title)
		for _, row := range append([][]string{table.head}, table.rows...) {
			fmt.Fprintf(t, "  %s\n", oneLine.Replace(strings.Join(row, "\t")))
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}

// write makes report.md and, if the backlog was measured, backlog.svg.
func (r *report) write(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	if len(r.findings.plot) > 0 {
		title := fmt.Sprintf("Seconds for a backlog of %s MiB (less is better)", thousands(r.options.size>>20))
		if err := os.WriteFile(filepath.Join(folder, "backlog.svg"), plot(title, r.findings.plot), 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(folder, "report.md"), []byte(r.markdown()), 0o644)
}

func (r *report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Measurements\n\nMade by `go run ./bench` on %s. Machines are noisy: the ratios say more than the seconds.\n\n", r.at.UTC().Format("2006-01-02 15:04 UTC"))
	machine := table{title: "Machine", head: []string{"what", "is"}}
	for _, f := range r.facts {
		machine.rows = append(machine.rows, []string{f.name, f.value})
	}
	b.WriteString(notes)
	for _, t := range append(r.tables(), machine) {
		t.markdown(&b)
		if strings.HasPrefix(t.title, "Backlog") {
			b.WriteString("![Seconds for the backlog](backlog.svg)\n\n")
		}
	}
	return b.String()
}

const notes = "`logcatchsys raw` and `json` run as by default, with an fsync before each commit of positions; `sync: false` is without it, " +
	"which is what cat and the others do. rsyslog: imfile (inotify, state saved every 1,000 lines) to omfile; " +
	"syslog-ng: file() or wildcard-file() with flow control to file(); hpcloud/tail: ReOpen, Follow, polling, " +
	"lines printed through a buffered writer. All the rest of them is as by default.\n\n"

func (t *table) markdown(b *strings.Builder) {
	fmt.Fprintf(b, "## %s\n\n", t.title)
	if t.note != "" {
		fmt.Fprintf(b, "%s\n\n", t.note)
	}
	for i, row := range slices.Insert(slices.Clone(t.rows), 0, t.head) {
		for _, cell := range row {
			fmt.Fprintf(b, "| %s ", cells.Replace(cell))
		}
		b.WriteString("|\n")
		if i == 0 {
			b.WriteString("|---|" + strings.Repeat("---:|", len(t.head)-2) + "---|\n")
		}
	}
	b.WriteString("\n")
}

// cells keeps what a failed program said from breaking the table.
var (
	cells   = strings.NewReplacer("|", `\|`, "\n", " ", "\r", " ")
	oneLine = strings.NewReplacer("\n", " ", "\r", " ")
)

func contains(list []string, s string) bool { return slices.Contains(list, s) }
