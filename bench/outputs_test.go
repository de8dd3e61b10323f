//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What does not come is said, and what does is not; the figures are there in both cases.
func TestOutputsCountWhatCame(t *testing.T) {
	for says, want := range map[string]string{
		"20000 500000": "",
		"19999 500000": "19,999 of 20,000 records came",
		"20001 500000": "20,001 of 20,000 records came",
	} {
		b := testBench(t, script("exit 0"))
		b.farEnd = fakeFarEnd(t, says)
		f, err := b.outputs(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(f.tables[0].rows) != 2 || len(f.aims) != 2 {
			t.Fatalf("%+v", f)
		}
		for _, row := range f.tables[0].rows {
			if row[1] != "20,000" || row[2] == "–" || row[7] != "25.0" || row[9] != want {
				t.Errorf("far end says %s: %q", says, row)
			}
		}
	}
}

func TestFarEndsThatFail(t *testing.T) {
	for what, test := range map[string]struct{ text, want string }{
		"no word":   {"exit 3", "exit status 3"},
		"nonsense":  {"echo 127.0.0.1:1; cat > /dev/null; echo many", "far end: "},
		"dies late": {"echo 127.0.0.1:1; cat > /dev/null; exit 4", "exit status 4"},
	} {
		b := testBench(t, script("exit 0"))
		b.farEnd = filepath.Join(t.TempDir(), "farend")
		if err := os.WriteFile(b.farEnd, []byte("#!/bin/sh\n"+test.text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		f, err := b.outputs(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if row := f.tables[0].rows[0]; row[2] != "–" || !strings.Contains(row[9], test.want) {
			t.Errorf("%s: %q", what, row)
		}
	}
}

func TestLinksAreChosenByName(t *testing.T) {
	b := testBench(t)
	b.links = links(binaries{})
	b.with = []string{"http, g", "nats", "cat"}
	var names []string
	for _, l := range b.takingLinks() {
		names = append(names, l.name)
	}
	if got := strings.Join(names, "; "); got != "http, gzip; nats" {
		t.Error(got)
	}
}
