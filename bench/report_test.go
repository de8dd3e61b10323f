//go:build linux

package main

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestStatistics(t *testing.T) {
	nan := math.NaN()
	if m := median([]float64{3, nan, 1, 2}); m != 2 {
		t.Errorf("median %v", m)
	}
	if m := median([]float64{4, 1, 2, 3}); m != 2.5 {
		t.Errorf("median of an even number %v", m)
	}
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[99-i] = float64(i + 1)
	}
	if p, most := percentile(hundred, 99), percentile(hundred, 100); p != 99 || most != 100 {
		t.Errorf("p99 %v, max %v", p, most)
	}
	if !math.IsNaN(median(nil)) || !math.IsNaN(percentile([]float64{nan}, 50)) {
		t.Error("something came of nothing")
	}
	// The second round failed for one: the third is still compared with the third.
	if m := median(pairs([]float64{2, nan, 12}, []float64{1, 1, 4, 9})); m != 2.5 {
		t.Errorf("median of the pairs %v", m)
	}
}

func TestShort(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 1: "1.00", 0.01234: "0.0123", 9.876: "9.88", 55.55: "55.5", 1234567: "1,234,567", -1234: "-1,234", 0.000001: "0.0000",
		math.Inf(1): "–",
	} {
		if got := short(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
	if short(math.NaN()) != "–" || thousands(-100) != "-100" || thousands(999) != "999" {
		t.Error("NaN or thousands")
	}
}

func TestPlotIsXML(t *testing.T) {
	svg := string(plot("a < b", []bar{
		{label: "ours & co", text: "1 s", value: 1, ours: true}, {label: "cat", text: "2 s", value: 2}, {label: "failed", value: math.NaN()},
	}))
	texts := map[string]bool{}
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
		if c, ok := token.(xml.CharData); ok {
			texts[string(c)] = true
		}
	}
	for _, want := range []string{"a < b", "ours & co", "1 s", "cat", "2 s", "failed", "not measured"} {
		if !texts[want] {
			t.Errorf("%q is not in\n%s", want, svg)
		}
	}
	for _, want := range []string{`class="ours" x="230" y="44" width="195.0"`, `width="390.0"`, `width="0.0"`, "prefers-color-scheme: dark"} {
		if !strings.Contains(svg, want) {
			t.Errorf("%s is not in\n%s", want, svg)
		}
	}
}

func TestMarkdownSurvivesWhatProgramsSay(t *testing.T) {
	r := report{findings: findings{
		tables: []table{{title: "T", head: []string{"a", "b", "remark"}, rows: [][]string{{"x", "1", "no | such\nfile"}}}},
		aims:   []aim{{"what", "< 2", "3", false}},
	}}
	var text strings.Builder
	if err := r.text(&text); err != nil || !strings.Contains(text.String(), "no | such file\n") {
		t.Errorf("%v, %q", err, text.String())
	}
	md := r.markdown()
	for _, want := range []string{"| x | 1 | no \\| such file |\n", "|---|---:|---|\n", "| what | < 2 | 3 | NO |\n"} {
		if !strings.Contains(md, want) {
			t.Errorf("%q is not in\n%s", want, md)
		}
	}
}

func TestNumber(t *testing.T) {
	for line, want := range map[string]int{
		`bench/w1 000000000042 filler 0123abcd`:                      42,
		`{"source":"bench","message":"bench/w1 000000000007 x sum"}`: 7,
		`bench/w1 -1 x`: -1, `other`: -1, ``: -1, `bench/w1 99999999999999 x`: -1,
	} {
		if got := number([]byte(line)); got != want {
			t.Errorf("%q: %d, want %d", line, got, want)
		}
	}
}

func TestWrongUsage(t *testing.T) {
	for _, args := range [][]string{{"--only", "speed"}, {"--size", "0"}, {"--rounds", "0"}, {"--lines", "0"}, {"--seconds", "NaN"}, {"--idle-seconds", "0"}, {"file"}, {"--nonsense"}} {
		var said strings.Builder
		if _, err := parse(args, &said); err == nil || said.Len() == 0 {
			t.Errorf("%q: %v, %q", args, err, said.String())
		}
	}
	o, err := parse([]string{"--size", "3", "--only", "idle,kill", "--with", "cat"}, io.Discard)
	if err != nil || o.size != 3<<20 || len(o.only) != 2 || len(o.with) != 1 {
		t.Errorf("%+v, %v", o, err)
	}
}

// An unpacked program is taken before the system's, with its libraries and modules.
func TestUnpackedPeers(t *testing.T) {
	folder := t.TempDir()
	modules := filepath.Join(folder, "usr/lib/x86_64-linux-gnu/rsyslog")
	for _, dir := range []string{modules, filepath.Join(folder, "usr/sbin")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	binary := filepath.Join(folder, "usr/sbin/rsyslogd")
	if err := os.WriteFile(binary, []byte("#!/bin/sh\necho rsyslogd  8.1.2 for $LD_LIBRARY_PATH\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	c := findPeers(t.Context(), folder)[0]
	if c.version != "8.1.2" || c.missing != "" {
		t.Fatalf("%+v", c)
	}
	j, release, err := testBench(t).job(c)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	cmd, err := c.command(j)
	if err != nil {
		t.Fatal(err)
	}
	if args := strings.Join(cmd.Args, " "); !strings.HasPrefix(args, binary) || !strings.HasSuffix(args, "-M "+modules) {
		t.Error(args)
	}
	if config := read(t, j.work("rsyslog.conf")); !strings.Contains(config, `file="`+j.input+`"`) || strings.Contains(config, "%!") {
		t.Error(config)
	}
	if err := os.WriteFile(binary, []byte("#!/bin/sh\necho broken library; exit 127\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if c := findPeers(t.Context(), folder)[0]; !strings.Contains(c.missing, "broken library") {
		t.Errorf("%+v", c)
	}
}
