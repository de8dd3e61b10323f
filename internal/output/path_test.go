package output

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
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
	} {
		parsed, err := parseTemplate(c.template)
		must(t, err)
		if got := parsed.path(c.source, c.host, at); got != c.want {
			t.Errorf("%s: %q, want %q", c.template, got, c.want)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add("/x/{source}/{host}", "..", "a/b")
	f.Add("/{yyyy}{", "", "\x00")
	f.Fuzz(func(t *testing.T, template, source, host string) {
		if parsed, err := parseTemplate(template); err == nil {
			parsed.path(source, host, hour)
		}
		safe, _ := parseTemplate("/x/{source}/{host}/f")
		path := safe.path(source, host, hour)
		if path != filepath.Clean(path) || strings.Count(path, "/") != 4 || strings.ContainsAny(path, "\x00\n") {
			t.Errorf("%q and %q lead to %q", source, host, path)
		}
	})
}
