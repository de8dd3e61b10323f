package traffic

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestCompressFile(t *testing.T) {
	for _, ext := range []string{".gz", ".zst"} {
		from := filepath.Join(t.TempDir(), "log.txt")
		run(t, from, fast(func(o *Options) { o.Lines, o.Rotate = 1000, None }))
		then := time.Now().Add(-time.Hour).Truncate(time.Second)
		if err := os.Chtimes(from, then, then); err != nil {
			t.Fatal(err)
		}

		ctx, stop := context.WithCancel(t.Context())
		stop()
		if err := compressFile(ctx, from, from+ext); !errors.Is(err, context.Canceled) {
			t.Errorf("stopped: %v", err)
		}
		if left := files(t, filepath.Dir(from)); len(left) != 1 || left[0] != from {
			t.Fatalf("after the stop: %v", left)
		}

		if err := compressFile(t.Context(), from, from+ext); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(from + ext)
		if err != nil || !info.ModTime().Equal(then) {
			t.Errorf("%s: %v, modified %v, want %v", ext, err, info.ModTime(), then)
		}
		if left := files(t, filepath.Dir(from)); len(left) != 1 {
			t.Errorf("left: %v", left)
		}
		verifyFolder(t, filepath.Dir(from), Stats{Writers: []Sequence{{SequenceID("src", 1), 1, 1000}}})
	}
}

// The name of the compressed generation is taken between the rename and the compression.
func TestCompressMovesOnWhenTaken(t *testing.T) {
	folder := t.TempDir()
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.Local)
	l := &log{Options: Default(), source: Source{"src", filepath.Join(folder, "log.txt")}}
	l.Rotate, l.now = Gzip, func() time.Time { return at }
	gen := filepath.Join(folder, "20260101000000.txt")
	for _, name := range []string{gen, gen + ".gz"} {
		if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	to, err := l.compress(t.Context(), gen)
	if want := filepath.Join(folder, "20260101000000-1.txt.gz"); err != nil || to != want {
		t.Errorf("%s, %v; want %s", to, err, want)
	}
	if data, _ := os.ReadFile(gen + ".gz"); string(data) != "x" {
		t.Errorf("overwritten: %q", data)
	}
}

func TestDamagedArchivesAreErrors(t *testing.T) {
	for _, name := range []string{"a.gz", "a.zst"} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte("this is not compressed"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := (&Verifier{}).ReadFile(path, Auto); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
