package output

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/logcatchsys/logcatchsys/internal/peer"
	"github.com/logcatchsys/logcatchsys/internal/record"
)

// rsyslog is one of Debian that is up, and what an output to it needs.
func rsyslog(t *testing.T, kind string) (*peer.Syslog, Spec) {
	t.Helper()
	p, err := peer.New(kind, t.TempDir())
	if errors.Is(err, peer.ErrMissing) {
		t.Skip(err)
	}
	must(t, err)
	t.Cleanup(func() { must(t, p.Close()) })
	must(t, p.Start())
	s := p.(*peer.Syslog)
	spec := syslogSpec(s.Address())
	spec.TLS.CA = s.CA()
	return s, spec
}

// held is what it has written down, once that is so many records.
func held(t *testing.T, s *peer.Syslog, n int) (all []peer.SyslogRecord) {
	t.Helper()
	eventually(t, fmt.Sprint(n, " records"), func() bool {
		var err error
		all, err = s.Records()
		must(t, err)
		return len(all) >= n
	})
	return all
}

// rsyslog understands each part of a message, and holds each byte of a line but NUL.
func TestRsyslogUnderstands(t *testing.T) {
	for _, kind := range []string{"syslog", "syslog tls", "syslog udp"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s, spec := rsyslog(t, kind)
			must(t, Probe(bg, spec, Env{}, nil))
			o, _ := openedSyslog(t, spec, Env{})
			lines := []string{
				"plain", "", "  spaces  ", "\ttab \x01\x1b[1m", `"quotes" \and] [brackets]`, "ümläut \ufeff 日本",
				"<13>1 not - a header", "12 34", strings.Repeat("x", syslogLine), "last",
			}
			b := &record.Batch{
				Source: `web"1`, File: `/var/log/a]b\c.log`, Labels: `{"env":"te\"st"}`, Gen: "gen", Read: hour,
				Data: []byte(strings.Join(lines, "\n") + "\n"), Count: len(lines),
			}
			put(t, o, b)
			settle(t, o)
			all := held(t, s, len(lines))
			for i, r := range all {
				if r.Message != lines[i] || r.Pri != "134" || r.Host != "h1" || r.App != "web_1" || r.Timestamp != "2026-11-22T07:34:01.000000Z" {
					t.Errorf("%d: %+v", i, r)
				}
			}
			if want := `[logcatchsys@32473 source="web\"1" file="/var/log/a\]b\\c.log" label.env="te\"st" offset="0" id="gen:0"]`; all[0].Structured != want {
				t.Errorf("%s\nwant\n%s", all[0].Structured, want)
			}
			log, err := os.ReadFile(s.Log())
			must(t, err)
			if strings.Contains(string(log), "oversize") {
				t.Errorf("%s", log)
			}
		})
	}
}

// Stopped in order and started again and again, rsyslog holds all lines in the end; killed,
// too, but for what nobody promises.
func TestRsyslogRestarts(t *testing.T) {
	for _, kind := range []string{"syslog", "syslog tls"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s, spec := rsyslog(t, kind)
			o, _ := openedSyslog(t, spec, Env{})
			const rounds, size = 60, 200
			for i := range rounds {
				put(t, o, sample("a", i*size, size))
				if i%20 == 10 {
					must(t, s.Stop())
					must(t, s.Start())
				}
				if i%10 == 5 {
					settle(t, o)
				}
			}
			settle(t, o)
			farEnd{got: func(string) (all []string) {
				records, err := s.Records()
				must(t, err)
				for _, r := range records {
					all = append(all, r.Message)
				}
				return all
			}}.check(t, "a", rounds*size)
		})
	}
}
