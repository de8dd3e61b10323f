package output

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/record"
)

func TestTemplate(t *testing.T) {
	at := time.Date(2026, 1, 2, 23, 30, 0, 0, time.FixedZone("", -3600)) // already the 3rd, UTC
	for _, c := range []struct{ template, source, host, want string }{
		{"/x/plain", "s", "h", "/x/plain"},
		{"/x/{source}.log", "web.1", "h", "/x/web.1.log"},
		{"/x/{host}/{yyyy}-{mm}-{dd}T{hh}/{source}", "web", "h1", "/x/h1/2026-01-03T00/web"},
		{"/x/{source}/y", "..", "", "/x/__/y"},
		{"/x/{source}/{host}", ".", "", "/x/_/_"},
		{"/x/{source}", "../../etc/pass\x00wd", "", "/x/.._.._etc_pass_wd"},
		{"/x/{source}", "a\\b:c\n\xff", "", "/x/a_b_c__"},
		{"/x/{source}", "日志", "", "/x/日志"},
		{"/x/{name}-{label.env}{label.none}", "s", "", "/x/app.log-a_b_"},
		{"/x{file}", "s", "", "/x_var_log_app.log"},
	} {
		parsed, err := parseTemplate("path", c.template)
		must(t, err)
		b := &record.Batch{Source: c.source, File: "/var/log/app.log", Labels: `{"env":"a/b"}`, Read: at}
		if got := parsed.fill(b, c.host, safeName); got != c.want {
			t.Errorf("%s: %q, want %q", c.template, got, c.want)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add("/x/{source}/{host}", "..", "a/b")
	f.Add("/{yyyy}{", "", "\x00")
	f.Fuzz(func(t *testing.T, template, source, host string) {
		b := &record.Batch{Source: source, File: "/" + host, Labels: `{"` + host, Read: hour}
		if parsed, err := parseTemplate("path", template); err == nil {
			parsed.fill(b, host, nil)
		}
		safe, _ := parseTemplate("path", "/x/{source}/{host}/f")
		path := safe.fill(b, host, safeName)
		if path != filepath.Clean(path) || strings.Count(path, "/") != 4 || strings.ContainsAny(path, "\x00\n") {
			t.Errorf("%q and %q lead to %q", source, host, path)
		}
	})
}
