package logtailf

import (
	"cmp"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/bmatcuk/doublestar/v4"
)

// usual are names of generations as their makers write them, oldest first.
var usual = []struct {
	maker string
	log   string
	names []string
}{
	{"logrotate", "app.log", []string{"app.log.12.gz", "app.log.9.gz", "app.log.2.gz", "app.log.1", "app.log.0"}},
	{"logrotate, no extension", "syslog", []string{"syslog.10.zst", "syslog.2", "syslog.1"}},
	{"logrotate, extension", "app.log", []string{"app.10.log.gz", "app.2.log.gz", "app.1.log"}},
	{"logrotate, dateext", "app.log", []string{"app.log-20261122.gz", "app.log-20261123", "app.log-20270101"}},
	{"logrotate, dateext, extension", "app.log", []string{"app-20261122.log.gz", "app-20261123.log"}},
	{"logrotate, hourly", "app.log", []string{"app.log-2026112223", "app.log-2026112300"}},
	{"logrotate, -%Y%m%d-%s", "app.log", []string{"app.log-20261122-1795302000", "app.log-20261122-1795302060", "app.log-20261123-1795390000"}},
	{"logrotate, -%s", "app.log", []string{"app.log-1795302000", "app.log-1795302060.gz"}},
	{"logrotate, -%Y-%m-%d", "app.log", []string{"app.log-2026-11-22", "app.log-2026-11-23"}},
	{"logrotate, .%Y_%m_%d", "app.log", []string{"app.log.2026_11_22", "app.log.2026_11_23"}},
	{"a counter behind the date", "app.log", []string{"app.log-20261122", "app.log-20261122.1", "app.log-20261122.2", "app.log-20261122.10", "app.log-20261123"}},
	{"a counter with a dash", "app.log", []string{"app.log-20261122-1", "app.log-20261122-9", "app.log-20261122-10", "app.log-20261122-24"}},
	{"lumberjack", "app.log", []string{"app-2026-11-22T07-34-01.000.log.gz", "app-2026-11-22T07-34-01.001.log", "app-2026-11-22T07-34-02.000.log"}},
	{"Python, midnight", "app.log", []string{"app.log.2026-11-22", "app.log.2026-11-23"}},
	{"Python, S", "app.log", []string{"app.log.2026-11-22_07-34-01", "app.log.2026-11-22_07-34-02"}},
	{"Python, M", "app.log", []string{"app.log.2026-11-22_07-34", "app.log.2026-11-22_08-00"}},
	{"Python, H", "app.log", []string{"app.log.2026-11-22_07", "app.log.2026-11-22_23", "app.log.2026-11-23_00"}},
	{"weekly", "app.log", []string{"app.log.2026-W47", "app.log.2026-W48", "app.log.2027-W01"}},
	{"monthly", "app.log", []string{"app.log.2026-11", "app.log.2026-12", "app.log.2027-01"}},
	{"monthly, no dash", "app.log", []string{"app.log.202611", "app.log.202612", "app.log.202701"}},
	{"Kubernetes", "0.log", []string{"0.log.20261122-073401.gz", "0.log.20261122-073402"}},
	{"log4j, date and index", "app.log", []string{"app-2026-11-22-10-1.log.gz", "app-2026-11-22-10-2.log", "app-2026-11-22-10-60.log", "app-2026-11-22-11-1.log"}},
	{"Tomcat", "catalina.out", []string{"catalina.2026-11-22.out", "catalina.2026-11-23.out"}},
	{"underscores", "app.log", []string{"app_20261122.log", "app_20261123.log"}},
	{"no gap at all", "app.log", []string{"app.log.20261122073401", "app.log.20261122073402"}},
	{"UTC", "app.log", []string{"app-2026-11-22T07:34:01Z.log", "app-2026-11-22T07:34:02Z.log"}},
	{"writefile", "log.txt", []string{"20261122073401.txt", "20261122073401-1.txt", "20261122073401-2.txt.gz", "20261122073401-10.txt", "20261122073402.txt.zst"}},
}

func TestUsualNames(t *testing.T) {
	h, err := newHabits(nil)
	do(t, err)
	for _, c := range usual {
		for i, name := range c.names {
			if !h.matches(c.log, name) {
				t.Errorf("%s: %s is not taken for a generation of %s", c.maker, name, c.log)
			}
			if list := h.bases(name); !slices.Contains(list, c.log) && !slices.Contains(list, "") {
				t.Errorf("%s: %s may be of %q, but not of %s", c.maker, name, list, c.log)
			}
			for j, other := range c.names {
				if got, want := cmp.Compare(compareNames(c.log, name, other), 0), cmp.Compare(i, j); got != want {
					t.Errorf("%s: %s to %s is %d", c.maker, name, other, got)
				}
			}
		}
	}
}

// What is another log, or nothing of the kind.
func TestOtherNames(t *testing.T) {
	h := habits{}
	for _, name := range []string{
		"app.log", "app2.log", "app.log2", "app.txt", "error.log", "access-api.log", "app-error.log",
		"app.log.bak", "app.log.", "app.log-", "app.log..1", "app.log.1.2", "app.log.-1", "app.log.+1", "app.log. 1",
		"app.log.1234567", "app.log.12345678", "app.log-1", "app.log_1", "app_1.log", "app.log.1.bz2", "app.log.1.gz.gz.gz",
		"app.log-20261322", "app.log-20261132", "app.log-20260229", "app.log-19891231", "app.log-21010101", "app.log-20261122x",
		"app.log-20261122-", "app.log-202611220760", "app.log-2026-13-01", "app.log.2026-W54", "app.log.2026-W00",
		"app.log-9999999999", "app.log-0000000001", "app.log-20261122-12345678901", "app.log.2026-1-1", "app.log-1-20261122",
		"appp-20261122.log", "ap-20261122.log", "app-20261122.txt", "2026112207340.txt", "202611220734011.txt", "20261122073401.log",
		"20261322073401.txt", "20261122073401-.txt", "20261122073401-x.txt", "20261122073401.1.txt", "20261122073401", "1795302000.txt",
		".gz", ".log", "", ".", "..", "1", "-1", ".1", "20261122", "app.log/1", "archive/app.log.1",
	} {
		if h.matches("app.log", name) {
			t.Errorf("%q is taken for a generation of app.log", name)
		}
		if list := h.bases(name); slices.Contains(list, "app.log") || slices.Contains(list, "") {
			t.Errorf("%q may be of %q", name, list)
		}
	}
}

func TestBases(t *testing.T) {
	for name, want := range map[string][]string{
		"host-10.log":          {"host.log"}, // or a log: the caller knows
		"app.log.gz":           {"app.log"},  // compressed where it lay
		"app.log.1.zst":        {"app.log.1", "app.log"},
		"20261122073401-1.txt": {""},
		"app.2026.11":          {"app.2026", "app"},
		"error.log":            nil,
	} {
		if got := (habits{}).bases(name); !slices.Equal(got, want) {
			t.Errorf("%s: %q, expected %q", name, got, want)
		}
	}
}

// Where the names cannot tell.
func TestCompareUnknown(t *testing.T) {
	for _, pair := range [][2]string{
		{"app.log.1", "app.log-20261122"},
		{"app.log-20261122", "app.log-1795302000"},
		{"app.log.1", "app.log.1.gz"},
		{"app-1.log", "app-2.log"}, // log4j2 counts up, logrotate down
		{"app.log.1", "other.log.2"},
		{"app.log", "app.log.1"},
		{"app.log.gz", "app.log.1"},
	} {
		if a, b := compareNames("app.log", pair[0], pair[1]), compareNames("app.log", pair[1], pair[0]); a != 0 || b != 0 {
			t.Errorf("%q: %d and %d", pair, a, b)
		}
	}
	if c := compareNames("app.log", "archive/app.log.2.gz", "app.log.1"); c >= 0 {
		t.Errorf("in folders: %d", c)
	}
}

func TestCustomHabits(t *testing.T) {
	h, err := newHabits([]string{"archive/{name}.*", "{stem}-old{ext}", "./old/{yes,no}/*/{name}", "../{name}-*"})
	do(t, err)
	for rel, want := range map[string]bool{
		"archive/a[1].log.7":    true,
		"archive/a[1].log.7.gz": true,
		"archive/a1.log.7":      false,
		"archive/b.log.7":       false,
		"a[1]-old.log":          true,
		"a[1]-old.log.zst":      true,
		"old/yes/x/a[1].log":    true,
		"old/yes/x/a[1].log.gz": true,
		"old/x/x/a[1].log":      false,
		"../a[1].log-1":         true,
		"a[1].log.1":            false, // the default does not hold
		"a[1].log":              false,
	} {
		if got := h.matches("a[1].log", rel); got != want {
			t.Errorf("%s: %v", rel, got)
		}
	}
	if got, want := h.globs("a[1].log"), []string{".", "archive", "old/{yes,no}/*", ".."}; !slices.Equal(got, want) {
		t.Errorf("folders %q, expected %q", got, want)
	}
	if got := h.bases("a.log.1"); got != nil {
		t.Errorf("bases of one's own habits: %q", got)
	}
	if got := (habits{}).globs("a.log"); !slices.Equal(got, []string{"."}) {
		t.Errorf("folders of the usual habits: %q", got)
	}
	all, err := newHabits([]string{"{name}*"})
	do(t, err)
	if all.matches("a.log", "a.log") || !all.matches("a.log", "a.log.x") {
		t.Error("a log is a generation of itself, or nothing is")
	}
	none, err := newHabits([]string{})
	do(t, err)
	if none.matches("a.log", "a.log.1") {
		t.Error("an empty list is not the default")
	}
}

func TestBadHabits(t *testing.T) {
	_, err := newHabits([]string{"", "/var/{name}", "{nmae}.*", "[", "{name", "a/", "{a/{name},b}", "{name}.*"})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`"": is empty`, `"/var/{name}": must be relative`, `"{nmae}.*": unknown placeholder {nmae}`,
		`"[": syntax error`, `"{name": syntax error`, `"a/": names a folder`, `"{a/{name},b}": slash inside braces`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	if n := strings.Count(err.Error(), "\n"); n != 6 {
		t.Errorf("%d lines: %v", n+1, err)
	}
}

func TestCompression(t *testing.T) {
	for name, want := range map[string][2]string{
		"a.gz": {"gz", "a"}, "a.1.zst": {"zst", "a.1"}, "a": {"", "a"}, ".gz": {"", ".gz"}, "agz": {"", "agz"}, "a.gz.gz": {"gz", "a.gz"},
	} {
		if kind, plain := compression(name), trimCompression(name); kind != want[0] || plain != want[1] {
			t.Errorf("%s: %q, %q", name, kind, plain)
		}
	}
}

// Both ways of reading a name agree, whatever it is; the order is one.
func FuzzNames(f *testing.F) {
	for _, c := range usual {
		f.Add(c.log, c.names[0], c.names[1])
	}
	f.Add("log.txt", "20261122073401-1.txt", "..1.log")
	h := habits{}
	f.Fuzz(func(t *testing.T, log, a, b string) {
		list := h.bases(a)
		for _, base := range list {
			if base == a || strings.Contains(base, "/") {
				continue
			}
			if base != "" && !strings.Contains(a, "/") && !h.matches(base, a) {
				t.Errorf("%q may be of %q, but does not match it", a, base)
			}
		}
		if h.matches(log, a) && !slices.Contains(list, log) && !slices.Contains(list, "") {
			t.Errorf("%q matches %q, but may be of %q", a, log, list)
		}
		if ab, ba := compareNames(log, a, b), compareNames(log, b, a); ab != -ba {
			t.Errorf("%q and %q: %d and %d", a, b, ab, ba)
		}
		if compareNames(log, a, a) != 0 {
			t.Errorf("%q differs from itself", a)
		}
	})
}

// Names of logs stand for themselves in a pattern, whatever is in them.
func FuzzHabits(f *testing.F) {
	f.Add("{name}.*", "a[1]{x,y}*.log")
	f.Add("{stem}-?{ext}", `a\b?.log`)
	f.Add("{a,{b}c/}", "log")      // a slash in nested braces: its folder was no pattern
	f.Add("{{a,}b}//.}//.", "log") // nor was this one, once it was cleaned
	f.Fuzz(func(t *testing.T, pattern, log string) {
		if log == "" || log == "." || log == ".." || strings.Contains(log, "/") || path.Clean(log) != log {
			return
		}
		if h, err := newHabits([]string{"x/{name}.*", "{stem}+{ext}"}); err != nil {
			t.Fatal(err)
		} else if stem, ext := splitExt(log); !h.matches(log, "x/"+log+".1") || !h.matches(log, stem+"+"+ext) {
			t.Errorf("%q is not matched by its own pattern", log)
		}
		h, err := newHabits([]string{pattern})
		if err != nil {
			return
		}
		h.matches(log, log+".1")
		for _, dir := range h.globs(log) {
			if !doublestar.ValidatePattern(dir) {
				t.Errorf("pattern %q, log %q: folder %q is no pattern", pattern, log, dir)
			}
		}
	})
}

func BenchmarkBases(b *testing.B) {
	b.ReportAllocs()
	for i := range b.N {
		c := usual[i%len(usual)]
		(habits{}).bases(c.names[0])
	}
}

func BenchmarkMatches(b *testing.B) {
	b.ReportAllocs()
	for i := range b.N {
		c := usual[i%len(usual)]
		(habits{}).matches(c.log, c.names[0])
	}
}

// matches says whether rel, a path relative to the folder of the log with slashes, may be
// a generation of the log with the base name logName.
func (h habits) matches(logName, rel string) bool {
	if rel == logName {
		return false
	}
	if h.custom {
		const dir = "/a/b/c"
		return slices.ContainsFunc(h.patternsOf(path.Join(dir, logName)), func(p pattern) bool { return p.matches(path.Join(dir, rel)) })
	}
	if strings.ContainsRune(rel, '/') {
		return false
	}
	plain := trimCompression(rel)
	if plain == logName {
		return true // compressed where it lay
	}
	_, ok := markOf(logName, plain)
	return ok
}
