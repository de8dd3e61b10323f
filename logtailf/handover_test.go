package logtailf

import (
	"errors"
	"testing"

	"github.com/logcatchsys/logcatchsys/internal/checkpoint"
)

// A follower that ends before it came to what it took over, as when the checkpoint
// cannot be read for a moment, hands it on.
func TestWhatIsHeldOutlivesAFailedStart(t *testing.T) {
	eachWay(t, func(t *testing.T, w *world) {
		w.start()
		w.write("log.txt", "one\n")
		w.expect("one")
		w.sink.take()
		w.write("log.txt", "two\n")
		w.eventually("the line to be seen", func() bool { return w.follower.Stats().LagBytes > 0 && w.handles.Open() > 0 })
		w.remove("log.txt")
		w.eventually("the deletion to be seen", func() bool { return w.follower.Stats().Held > 0 })
		w.halt()
		hub := NewHub(w.logger())
		failed, err := New(w.cfg, Deps{Inlet: w.sink, Ledger: unreadable{w.sink}, Hub: hub, Handles: w.handles,
			Metrics: w.sink, Log: w.logger()}, w.follower)
		w.must(err)
		if err := failed.Run(t.Context()); err == nil {
			t.Fatal("it runs")
		}
		w.must(hub.Close())
		w.follower = failed
		w.sink.untake()
		w.start()
		w.expect("one", "two")
	}, "log.txt")
}

// unreadable is a ledger that cannot be read.
type unreadable struct{ *sink }

func (unreadable) Load(string) ([]checkpoint.Entry, error) { return nil, errors.New("a test") }

// A file is deleted between two followers, while only the one before has it open.
func TestDeletedBetweenTwoFollowers(t *testing.T) {
	for name, what := range map[string]func(w *world){
		"deleted": func(w *world) { w.remove("log.txt") },
		"replaced": func(w *world) {
			w.remove("log.txt")
			w.write("log.txt", "three\n")
		},
		"renamed": func(w *world) {
			w.rename("log.txt", "log.txt.1")
			w.write("log.txt", "three\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachWay(t, func(t *testing.T, w *world) {
				w.start()
				w.write("log.txt", "one\n")
				w.expect("one")
				w.sink.take()
				w.write("log.txt", "two\n")
				w.eventually("the line to be seen", func() bool { return w.follower.Stats().LagBytes > 0 && w.handles.Open() > 0 })
				w.halt()
				what(w)
				w.sink.untake()
				w.start()
				if name != "deleted" {
					w.expect("one", "two", "three")
				} else {
					w.expect("one", "two")
				}
			}, "log.txt")
		})
	}
}
