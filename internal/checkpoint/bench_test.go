package checkpoint

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func BenchmarkTake(b *testing.B) {
	l := ledger(b, open(b, b.TempDir()), "screen")
	value := make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		l.Take("nginx\x00/var/log/nginx/access.log", value)
	}
}

func BenchmarkCommit(b *testing.B) {
	for _, n := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l := ledger(b, open(b, b.TempDir()), "screen")
			pos := entries(n, "%0100d")
			must(b, l.Commit(pos, []byte("note")))
			b.ReportAllocs()
			for b.Loop() {
				must(b, l.Commit(pos, []byte("note")))
			}
		})
	}
}

// BenchmarkCommitParallel has eight outputs share transactions.
func BenchmarkCommitParallel(b *testing.B) {
	s := open(b, b.TempDir())
	b.SetParallelism(4)
	b.RunParallel(func(pb *testing.PB) {
		l := ledger(b, s, "screen")
		for pb.Next() {
			must(b, l.Commit(entries(1, "%0100d"), nil))
		}
	})
}

// BenchmarkSyncPair is the least that a durable transaction can cost here.
func BenchmarkSyncPair(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "f"))
	must(b, err)
	defer f.Close()
	page := make([]byte, 4096)
	for b.Loop() {
		for i := range int64(2) {
			f.WriteAt(page, i*4096)
			must(b, f.Sync())
		}
	}
}

func fill(tb testing.TB, dir string, n int) {
	s := open(tb, dir)
	s.db.NoSync = true
	must(tb, ledger(tb, s, "screen").Register(entries(n, "%0100d"), nil))
	must(tb, s.db.Sync())
	must(tb, s.Close())
}

func BenchmarkVerify500k(b *testing.B) {
	dir := b.TempDir()
	fill(b, dir, 500_000)
	for b.Loop() {
		_, err := verifyFile(dbPath(dir))
		must(b, err)
	}
}

func BenchmarkOpenLoad500k(b *testing.B) {
	dir := b.TempDir()
	fill(b, dir, 500_000)
	for b.Loop() {
		s := open(b, dir)
		if all, err := ledger(b, s, "screen").Load(""); err != nil || len(all) != 500_000 {
			b.Fatal(len(all), err)
		}
		must(b, s.Close())
	}
}

// BenchmarkExpire500k also measures the longest that a commit waits meanwhile.
func BenchmarkExpire500k(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		dir := b.TempDir()
		fill(b, dir, 500_000)
		s := open(b, dir)
		l := ledger(b, s, "archive")
		b.StartTimer()
		done := make(chan struct{})
		go func() {
			defer close(done)
			n, err := s.Expire(time.Now().Add(time.Second), func(o, _ string, _ []byte) bool { return o == "archive" })
			if n != 500_000 || err != nil {
				b.Error(n, err)
			}
		}()
		longest := time.Duration(0)
		for running := true; running; {
			select {
			case <-done:
				running = false
			default:
				began := time.Now()
				must(b, l.Commit(entries(1, "%d"), nil))
				longest = max(longest, time.Since(began))
			}
		}
		b.ReportMetric(float64(longest.Milliseconds()), "ms/longest-commit")
	}
}
