package e2e

import (
	"testing"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/traffic"
)

// A program goes on in the renamed file for a moment, then makes the next one.
func TestLateWritersOverManyRenames(t *testing.T) {
	t.Parallel()
	renames := int64(200)
	if *Long {
		renames = 10000
	}
	y := NewYard(t, "configpath: {a: ./a/log.txt}\noutputs:\n  out: {type: file, path: ./out, format: raw}")
	p := y.Start()
	p.Ready()
	o := Traffic()
	o.Rotate, o.Every, o.Jitter, o.Late, o.Rate = traffic.RenameKeep, 6*time.Millisecond, true, 5, 10000
	s := y.FlowWith("a", "a/log.txt", o)
	for range 10 {
		s.Turns(renames / 10)
	}
	s.Stop()
	Eventually(t, "the last lines", func() bool { return y.Delivered([]*Stream{s}, "out").Count(traffic.Lost) == 0 })
	Check(t, y.Delivered([]*Stream{s}, "out"))
	t.Logf("%d lines, %d renames", s.Stats.Lines, s.Stats.Rotations)
	p.Term()
}
