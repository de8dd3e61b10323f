package traffic

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// fast are options for numbered lines without pauses.
func fast(change func(*Options)) Options {
	o := Default()
	o.Rate, o.Numbered, o.Settle = 0, true, 0
	change(&o)
	return o
}

// files are all files of a folder, oldest first.
func files(t *testing.T, folder string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil {
		t.Fatal(err)
	}
	OldestFirst(found)
	return found
}

// verifyFolder checks that what lies in a folder is what the writers say they wrote.
func verifyFolder(t *testing.T, folder string, stats ...Stats) Report {
	t.Helper()
	v := &Verifier{}
	v.ExpectStats(stats...)
	for _, file := range files(t, folder) {
		if err := v.ReadFile(file, Raw); err != nil {
			t.Fatal(err)
		}
	}
	r := v.Report()
	if r.Count() > 0 {
		var text strings.Builder
		_, _ = r.WriteTo(&text)
		t.Fatalf("on disk is not what was written:\n%s", text.String())
	}
	return r
}

func run(t *testing.T, path string, o Options) Stats {
	t.Helper()
	st, err := Writer{Source{"src", path}, o}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// The writer's own rotations lose nothing, whatever the mode, the writers and the cuts.
func TestRotationsLoseNothing(t *testing.T) {
	plans := map[string]func(*Options){
		"rounds":      func(o *Options) { o.Lines, o.Rounds = 100, 5 },
		"every lines": func(o *Options) { o.Lines, o.EveryLines = 500, 7 },
		"every time":  func(o *Options) { o.Lines, o.Rate, o.Every, o.Jitter = 1000, 10_000, 2*time.Millisecond, true },
		"batch":       func(o *Options) { o.Lines, o.Rounds, o.Batch, o.Size = 1000, 3, 64, 150 },
		"split":       func(o *Options) { o.Lines, o.EveryLines, o.Split = 200, 20, true },
	}
	for _, mode := range Rotations {
		for plan, change := range plans {
			for _, writers := range []int{1, 4} {
				if mode == Delete {
					continue // what is deleted cannot be counted: TestDelete
				}
				t.Run(fmt.Sprintf("%s/%s/%d", mode, plan, writers), func(t *testing.T) {
					t.Parallel()
					folder := t.TempDir()
					o := fast(change)
					o.Rotate, o.Writers = mode, writers
					ctx, stop := context.WithCancel(t.Context())
					defer stop()
					if o.Every > 0 && mode != None { // it ends after some rotations, however long they take
						o.Rounds = 0
						turns := 0
						o.Rotated = func(Turn) {
							if turns++; turns == 5 {
								stop()
							}
						}
					}
					st, err := Writer{Source{"src", filepath.Join(folder, "log.txt")}, o}.Run(ctx)
					if err != nil {
						t.Fatal(err)
					}
					if want := o.Lines * int64(o.Rounds); want > 0 && st.Lines != want {
						t.Errorf("%d lines, want %d", st.Lines, want)
					}
					verifyFolder(t, folder, st)
					if mode == None != (st.Rotations == 0) {
						t.Errorf("%d rotations", st.Rotations)
					}
				})
			}
		}
	}
}

func TestDefaultIsTheOwners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "missing", "folder", "log.txt")
		start := time.Now()
		st := run(t, path, Default())
		if took := time.Since(start); took != 1900*time.Millisecond {
			t.Errorf("20 lines 100 ms apart took %v", took)
		}
		all := files(t, filepath.Dir(path))
		name := regexp.MustCompile(`^\d{14}\.txt$`)
		if len(all) != 1 || !name.MatchString(filepath.Base(all[0])) || st.Lines != 20 || st.Rotations != 1 {
			t.Fatalf("files %v, stats %+v", all, st)
		}
		data, err := os.ReadFile(all[0])
		if err != nil {
			t.Fatal(err)
		}
		lines := bytes.Split(bytes.TrimSpace(data), []byte("\n"))
		if len(lines) != 20 || !IsPlain(lines[0]) || !IsPlain(lines[19]) || int64(len(data)) != st.Bytes {
			t.Errorf("%q", data)
		}
	})
}

// Names collide when logs are rotated more than once a second, by one process or by several.
func TestNamesInOneSecond(t *testing.T) {
	for _, naming := range []Naming{Timestamp, Index} {
		for _, mode := range []Rotation{Rename, Gzip, CopyTruncate} {
			t.Run(fmt.Sprintf("%s/%s", naming, mode), func(t *testing.T) {
				t.Parallel()
				folder := t.TempDir()
				at := time.Date(2026, 11, 22, 7, 34, 1, 0, time.Local)
				var wg sync.WaitGroup
				stats := make([]Stats, 3)
				for i := range stats {
					o := fast(func(o *Options) { o.Lines, o.Rounds = 3, 15 })
					o.Rotate, o.Naming, o.now = mode, naming, func() time.Time { return at }
					// The names of the generations are in one folder; the logs are apart.
					path := filepath.Join(folder, fmt.Sprintf("log%d.txt", i))
					wg.Go(func() { stats[i], _ = Writer{Source{fmt.Sprint("s", i), path}, o}.Run(t.Context()) })
				}
				wg.Wait()
				v := &Verifier{}
				v.ExpectStats(stats...)
				for _, file := range files(t, folder) {
					if err := v.ReadFile(file, Raw); err != nil {
						t.Fatal(err)
					}
				}
				r := v.Report()
				if n := r.Count(Lost, Repeated, Torn, Unexpected); n > 0 || r.Lines() != 3*45 {
					t.Errorf("%d faults, %d lines", n, r.Lines())
				}
				last := filepath.Join(folder, "20261122073401-44.txt")
				if naming == Timestamp && taken(last) == "" {
					t.Errorf("no generation has the name %s", last)
				}
			})
		}
	}
}

// Two processes that write and rotate the very same log: no generation overwrites another.
func TestTwoProcessesOneLog(t *testing.T) {
	for _, naming := range []Naming{Timestamp, Index} {
		folder := t.TempDir()
		var wg sync.WaitGroup
		stats := make([]Stats, 2)
		for i := range stats {
			o := fast(func(o *Options) { o.Lines, o.EveryLines, o.Naming = 600, 10, naming })
			wg.Go(func() {
				stats[i], _ = Writer{Source{fmt.Sprint("p", i), filepath.Join(folder, "log.txt")}, o}.Run(t.Context())
			})
		}
		wg.Wait()
		v := &Verifier{}
		v.ExpectStats(stats...)
		for _, file := range files(t, folder) {
			if err := v.ReadFile(file, Raw); err != nil {
				t.Fatal(err)
			}
		}
		if r := v.Report(); r.Count(Lost, Repeated, Torn) > 0 || r.Lines() != 1200 {
			t.Errorf("%s: %+v", naming, r)
		}
	}
}

func TestIndexChain(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "log.txt")
	for i, mode := range []Rotation{Gzip, Rename, Zstd, CopyTruncate} {
		o := fast(func(o *Options) { o.Lines, o.Rotate, o.Naming = 10, mode, Index })
		o.From = uint64(10*i + 1)
		run(t, path, o)
	}
	var names []string
	for _, f := range files(t, folder) {
		names = append(names, filepath.Base(f))
	}
	if got := strings.Join(names, " "); got != "log.txt.4.gz log.txt.3 log.txt.2.zst log.txt.1 log.txt" {
		t.Fatal(got)
	}
	verifyFolder(t, folder, Stats{Writers: []Sequence{{SequenceID("src", 1), 1, 40}}})
}

// The last lines of a round go to the file that was just renamed.
func TestRenameKeepWritesLate(t *testing.T) {
	folder := t.TempDir()
	o := fast(func(o *Options) { o.Lines, o.Rounds, o.Rotate, o.Late, o.Writers = 20, 3, RenameKeep, 4, 2 })
	var sizes []int64
	o.Rotated = func(turn Turn) {
		info, err := os.Stat(turn.To)
		if err != nil {
			t.Error(err)
			return
		}
		sizes = append(sizes, info.Size())
		if turn.Lines != 12 || turn.Name != "src" {
			t.Errorf("%+v", turn)
		}
	}
	st := run(t, filepath.Join(folder, "log.txt"), o)
	verifyFolder(t, folder, st)
	all := files(t, folder)
	if len(all) != 3 || len(sizes) != 3 {
		t.Fatalf("files %v", all)
	}
	for i, file := range all {
		info, err := os.Stat(file)
		if err != nil || info.Size() != sizes[i]/12*20 {
			t.Errorf("%s: %d bytes when renamed, %d now; %v", file, sizes[i], info.Size(), err)
		}
	}
}

func TestDelete(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "log.txt")
	o := fast(func(o *Options) { o.Lines, o.Rounds, o.Rotate, o.Settle = 10, 3, Delete, time.Millisecond })
	var turns []Turn
	o.Rotated = func(turn Turn) { turns = append(turns, turn) }
	st := run(t, path, o)
	if len(turns) != 3 || turns[0].To != "" || turns[2].Lines != 10 || st.Lines != 30 || st.Rotations != 3 {
		t.Errorf("turns %+v, stats %+v", turns, st)
	}
	if left := files(t, folder); len(left) != 0 {
		t.Errorf("still there: %v", left)
	}
}

// Stopped at any moment, with any rotation: whole lines, as many as the stats say.
func TestStopIsClean(t *testing.T) {
	for _, mode := range Rotations {
		for _, split := range []bool{false, true} {
			if mode == Delete {
				continue
			}
			folder := t.TempDir()
			ctx, stop := context.WithCancel(t.Context())
			o := fast(func(o *Options) { o.Rounds, o.Lines, o.Writers, o.Rotate, o.Split = 0, 50, 3, mode, split })
			var n atomic.Int64
			o.Wrote = func(lines int) {
				if n.Add(int64(lines)) == 777 {
					stop()
				}
			}
			st, err := Writer{Source{"src", filepath.Join(folder, "log.txt")}, o}.Run(ctx)
			stop()
			if err != nil || st.Lines < 777 || st.Lines != n.Load() {
				t.Errorf("%s: %d lines, told of %d, error %v", mode, st.Lines, n.Load(), err)
			}
			verifyFolder(t, folder, st)
		}
	}
}

func TestDeadlineIsNoError(t *testing.T) {
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer stop()
	o := fast(func(o *Options) { o.Rounds, o.Rotate, o.Settle = 0, Delete, time.Hour })
	if _, err := (Writer{Source{"src", filepath.Join(t.TempDir(), "log")}, o}).Run(ctx); err != nil {
		t.Error(err)
	}
}

func TestFailureIsReported(t *testing.T) {
	folder := t.TempDir()
	good := filepath.Join(folder, "good", "log.txt")
	all := []Source{{"good", good}, {"bad", folder}}
	stats, err := Run(t.Context(), all, fast(func(o *Options) { o.Rounds = 0 }))
	if err == nil || !strings.Contains(err.Error(), "writing "+folder) {
		t.Errorf("error %v", err)
	}
	verifyFolder(t, filepath.Dir(good), stats...)
	if _, err := Run(t.Context(), all, Options{}); err == nil || !strings.Contains(err.Error(), "rotate:") {
		t.Errorf("error %v", err)
	}
}

func TestValidate(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*Options){
		"lines":   func(o *Options) { o.Lines = 0 },
		"rounds":  func(o *Options) { o.Rounds = -1 },
		"rate":    func(o *Options) { o.Rate = -1 },
		"size":    func(o *Options) { o.Size = MaxLine + 1 },
		"from":    func(o *Options) { o.From = 0 },
		"writers": func(o *Options) { o.Writers = 0 },
		"batch":   func(o *Options) { o.Batch, o.Split = 2, true },
		"rotate":  func(o *Options) { o.Rotate = "sideways" },
		"name":    func(o *Options) { o.Naming = "" },
		"late":    func(o *Options) { o.Late = -1 },
		"settle":  func(o *Options) { o.Settle = -1 },
		"every":   func(o *Options) { o.Every, o.EveryLines = 1, 1 },
		"jitter":  func(o *Options) { o.Jitter = true },
	} {
		o := Default()
		change(&o)
		if err := o.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func BenchmarkBacklog(b *testing.B) {
	o := fast(func(o *Options) { o.Size, o.Batch, o.Rotate = 128, 4096, None })
	o.Lines = int64(b.N)
	b.SetBytes(128)
	b.ReportAllocs()
	if _, err := (Writer{Source{"src", filepath.Join(b.TempDir(), "log")}, o}).Run(b.Context()); err != nil {
		b.Fatal(err)
	}
}
