package logtailf

import (
	"strings"
	"testing"
)

// The checkpoint was lost, but the output kept positions with its records: the source
// was seen, and what came since is not skipped as if it had stood there before.
func TestPositionsWithoutTheNoteThatTheSourceWasSeen(t *testing.T) {
	w := newWorld(t, "log.txt")
	w.cfg.FromEnd = true
	w.write("log.txt", "before\n")
	w.start()
	w.eventually("the source to be looked at", func() bool { return w.follower.Stats().Ready })
	w.write("log.txt", "one\n")
	w.expect("one")
	w.stop()
	for key := range w.sink.entries {
		if strings.Contains(key, "\x00\x00seen\x00") {
			delete(w.sink.entries, key)
		}
	}
	w.write("log.txt", "two\n")
	w.rename("log.txt", "log.txt.1")
	w.write("log.txt", "three\n")
	w.start()
	w.expect("one", "two", "three")
}
