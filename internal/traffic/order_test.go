package traffic

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestOldestFirst(t *testing.T) {
	want := []string{
		"20251231235959.txt", "20260101000000.txt.gz", "20260101000000-1.txt", "20260101000000-2.txt.zst",
		"20260101000000-10.txt", "20260101000001.txt", "log.txt.10.gz", "log.txt.9", "log.txt.1", "log.txt",
		"other/out.jsonl.2.zst", "other/out.jsonl.1", "other/out.jsonl",
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		got := slices.Clone(want)
		rng.Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
		OldestFirst(got)
		if !slices.Equal(got, want) {
			t.Fatalf("got  %v\nwant %v", got, want)
		}
	}
}
