package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hpcloud/tail"
)

func TestPrintLines(t *testing.T) {
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	stdout := os.Stdout
	os.Stdout = out
	defer func() { os.Stdout = stdout }()

	lines := make(chan *tail.Line)
	go func() {
		defer close(lines)
		for range 1000 {
			lines <- tail.NewLine("one")
		}
	}()
	if err := printLines(lines); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(out.Name())
	if want := strings.Repeat("one\n", 1000); err != nil || string(got) != want {
		t.Errorf("%d bytes, want %d; %v", len(got), len(want), err)
	}
}

func TestNothingMatches(t *testing.T) {
	if err := follow([]string{filepath.Join(t.TempDir(), "*.log")}, true); err == nil {
		t.Error("no error")
	}
}
