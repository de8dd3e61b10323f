package e2e

import (
	"os"
	"strings"
	"testing"
)

// A source is not ready while what is there cannot be read; a log that is not there is waited for.
func TestReadyOnlyWhatCanBeRead(t *testing.T) {
	for what, c := range map[string]struct{ config, names, path string }{
		"file":             {"a: ./logs/a.log", "logs/a.log", "logs/a.log"},
		"file of a glob":   {"a: './logs/*.log'", "logs/a.log", "logs/a.log"},
		"folder":           {"a: ./logs/a.log", "logs", "logs"},
		"folder of a glob": {"a: './logs/*.log'", "logs", "logs"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			y := NewYard(t, "configpath: {missing: ./none.log, "+c.config+"}\npoll: 100ms")
			y.Write("logs/a.log", "one\n")
			y.Write("logs/b.log", "two\n")
			Must(t, os.Chmod(y.Path(c.path), 0))
			p := y.startAsNobody()
			addr := p.Started()
			var body string
			Eventually(t, "the path to be named", func() bool {
				_, body = Fetch(addr, "/readyz")
				return strings.HasPrefix(body, "source a, output stdout: cannot be read: "+y.Path(c.names)) && strings.Count(body, "\n") == 1
			})
			if !strings.Contains(body, "permission denied") {
				t.Errorf("says %q", body)
			}
			Must(t, os.Chmod(y.Path(c.path), 0o755))
			p.Ready()
			y.Append("logs/a.log", "three\n")
			p.Out.WaitFor(t, "a: three\n")
			p.Term()

			Must(t, os.Chmod(y.Path(c.path), 0))
			y.Append("logs/a.log", "four\n")
			p = y.startAsNobody()
			addr = p.Started()
			Eventually(t, "it not to be ready", func() bool {
				code, body := Fetch(addr, "/readyz")
				return code == 503 && strings.Contains(body, "denied")
			})
			Must(t, os.RemoveAll(y.Path("logs")))
			p.Ready()
			p.Term()
		})
	}
}
