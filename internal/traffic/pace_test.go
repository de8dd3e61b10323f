package traffic

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestPaceIsAccurate(t *testing.T) {
	for _, rate := range []float64{0.5, 3, 10, 20_000} {
		synctest.Test(t, func(t *testing.T) {
			p := pacer{rate: rate}
			start, total := time.Now(), int64(rate*4)
			for left := total; left > 0; {
				due := p.wait(t.Context(), left)
				left -= due
				if late := time.Since(start).Seconds()*rate + 1 - float64(total-left); late < -0.01 {
					t.Fatalf("%v lines/s: %v lines too early", rate, -late)
				}
			}
			want := time.Duration(float64(total-1) / rate * float64(time.Second))
			if off := time.Since(start) - want; off.Abs() > time.Millisecond {
				t.Errorf("%v lines/s: %v off after %v", rate, off, want)
			}
		})
	}
}

// A writer that was stopped for a minute must not then write a minute's lines at once.
func TestPaceDoesNotMakeUpForLongPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer{rate: 1000}
		p.wait(t.Context(), 1)
		time.Sleep(time.Minute)
		if due := p.wait(t.Context(), 1e9); due < 999 || due > 1002 {
			t.Errorf("%d lines due, want those of %v", due, maxBehind)
		}
		start := time.Now()
		for range 1000 {
			p.wait(t.Context(), 1)
		}
		if took := time.Since(start); took < 990*time.Millisecond || took > 1010*time.Millisecond {
			t.Errorf("the next 1000 took %v", took)
		}
	})
}

func TestPaceEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		p := pacer{rate: 0.001}
		p.wait(ctx, 1)
		start := time.Now()
		if due := p.wait(ctx, 1); due != 0 || time.Since(start) != time.Second {
			t.Errorf("%d lines due after %v", due, time.Since(start))
		}
		free := pacer{}
		if free.wait(ctx, 5) != 0 || free.wait(context.Background(), 5) != 5 {
			t.Error("as fast as possible: everything is due until the context ends")
		}
	})
}
