package e2e

import (
	"os"
	"strings"
	"testing"
	"time"
)

// Without its checkpoint the collector must not run on: another one could take the
// folder, and nothing that is delivered is noted.
func TestStateFolderRemoved(t *testing.T) {
	t.Parallel()
	y := NewYard(t, "configpath: {a: ./a/log.txt}\noutputs: {f: {type: file, path: ./out, format: raw}}")
	p := y.Start()
	p.Ready()
	s := y.Flow("a", "a/log.txt")
	Eventually(t, "lines", func() bool { return strings.Count(y.Read("out"), "\n") > 100 })
	Must(t, os.RemoveAll(y.Path("state")))
	began := time.Now()
	if code := p.Wait(); code != 1 || !strings.Contains(p.Err.String(), "removed while in use") {
		t.Errorf("exit code %d: %s", code, Last(p.Err.String(), 1000))
	}
	if d := time.Since(began); d > 8*time.Second {
		t.Errorf("it took %s", d)
	}
	s.Stop()
}
