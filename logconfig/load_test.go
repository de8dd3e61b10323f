package logconfig

import (
	"errors"
	"flag"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the messages of testdata/bad anew; then read them")

// secret looks like what could leak: it has braces and an unclosed class.
const secret = "s3cret{word}[a"

// Each bad file must give exactly what the .txt beside it says.
func TestBadFiles(t *testing.T) {
	t.Setenv("LOGCONFIG_SECRET", secret)
	t.Chdir(filepath.Join("testdata", "bad"))
	files, err := filepath.Glob("*.yaml")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			c, err := Load(file)
			var e *Error
			if c != nil || !errors.As(err, &e) {
				t.Fatalf("Load: %v, %v; want an *Error alone", c, err)
			}
			got := err.Error() + "\n"
			if strings.Contains(got, "s3cret") || strings.Contains(got, "{word}") {
				t.Errorf("a value from the environment is in the error:\n%s", got)
			}
			txt := strings.TrimSuffix(file, ".yaml") + ".txt"
			if *update {
				if err := os.WriteFile(txt, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(txt)
			if err != nil {
				t.Fatal(err)
			}
			if got != strings.ReplaceAll(string(want), "\r\n", "\n") {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}

func mustParse(t *testing.T, yaml string) *Config {
	t.Helper()
	env := func(name string) (string, bool) {
		v, ok := map[string]string{"DIR": "/srv", "EMPTY": "", "SIZE": "64KiB", "ODD": "a: [b"}[name]
		return v, ok
	}
	c, err := parse("config.yaml", abs(t, "/etc/lcs/config.yaml"), []byte(yaml), env)
	if err != nil {
		t.Fatalf("parse:\n%v", err)
	}
	return c
}

// abs makes a Unix path one of this system.
func abs(t *testing.T, path string) string {
	t.Helper()
	p, err := filepath.Abs(filepath.FromSlash(path))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// common adds the defaults of what every output has.
func common(o Output) Output {
	o.Batch = Batch{Bytes: 1 << 20, Records: 10_000, Age: time.Second}
	o.Timeout = 30 * time.Second
	o.Retry = Retry{Initial: 100 * time.Millisecond, Max: 30 * time.Second}
	return o
}

func TestDefaults(t *testing.T) {
	got := mustParse(t, "configpath:\n  b: ./b.log\n  a: ./a.log\n")
	src := func(name, path string, line int) Source {
		return Source{Name: name, Path: abs(t, path), Start: "end", MaxLine: 1 << 20, Outputs: []string{"stdout"}, Line: line}
	}
	want := &Config{
		File:    abs(t, "/etc/lcs/config.yaml"),
		Sources: []Source{src("b", "/etc/lcs/b.log", 2), src("a", "/etc/lcs/a.log", 3)},
		Outputs: []Output{common(Output{Name: "stdout", Type: "stdout", Format: "text"})},
		State:   abs(t, "/etc/lcs/state"), HTTP: "127.0.0.1:9477",
		Poll: time.Second, RotateWait: 5 * time.Second, ShutdownTimeout: 10 * time.Second,
		Log: Log{Level: slog.LevelInfo, Format: "text"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

func TestEveryKey(t *testing.T) {
	got := mustParse(t, `configpath:
  My.App:
    path: ${DIR}/app/*.log
    exclude: ['*.gz', 'old/*.log', '**/tmp/*']
    rotated: ['{name}-*', 'archive/{stem}.{gz,zst}', '{name}.old']
    start: beginning
    symlinks: true
    max_line: ${SIZE}
    labels: {Env: 1.10, on: yes, Team: 'a$$b$'}
    outputs: [two]
  my.app: {path: ./b.log, rotated: [], labels: {}, exclude: '*.bak', outputs: one}
outputs:
  one: {type: stdout, format: raw}
  two: {type: file, path: './out/{source}/{yyyy}{mm}{dd}{hh}-{host}', max_size: 100MiB, keep: 1, sync: false}
state: /var/lib/lcs
http: ''
poll: 10ms
rotate_wait: 0s
max_deleted: 10MB
shutdown_timeout: 1h
log: {level: debug, format: json}
`)
	want := &Config{
		File: abs(t, "/etc/lcs/config.yaml"),
		Sources: []Source{{
			Name: "My.App", Path: abs(t, "/srv/app/*.log"), Glob: true,
			Exclude: []string{"*.gz", abs(t, "/etc/lcs/old/*.log"), "**/tmp/*"},
			Rotated: []string{"{name}-*", "archive/{stem}.{gz,zst}", "{name}.old"},
			Start:   "beginning", Symlinks: true, MaxLine: 64 << 10,
			Labels:  map[string]string{"Env": "1.10", "on": "yes", "Team": "a$b$"},
			Outputs: []string{"two"}, Line: 2,
		}, {
			Name: "my.app", Path: abs(t, "/etc/lcs/b.log"), Exclude: []string{"*.bak"}, Rotated: []string{},
			Start: "end", MaxLine: 1 << 20, Outputs: []string{"one"}, Line: 11,
		}},
		Outputs: []Output{
			common(Output{Name: "one", Type: "stdout", Format: "raw", Line: 13}),
			common(Output{Name: "two", Type: "file", Format: "json", Path: abs(t, "/etc/lcs/out/{source}/{yyyy}{mm}{dd}{hh}-{host}"),
				MaxSize: 100 << 20, Keep: 1, Line: 14}),
		},
		State: abs(t, "/var/lib/lcs"), HTTPSet: true,
		Poll: 10 * time.Millisecond, ShutdownTimeout: time.Hour, MaxDeleted: 10_000_000,
		Log: Log{Level: slog.LevelDebug, Format: "json"},
	}
	for i := range want.Sources {
		if !reflect.DeepEqual(got.Sources[i], want.Sources[i]) {
			t.Errorf("source %d: got\n%#v\nwant\n%#v", i, got.Sources[i], want.Sources[i])
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

func TestGoodYAML(t *testing.T) {
	const plain = "configpath:\n  app: {path: ./a.log, start: beginning}\n"
	for name, yaml := range map[string]string{
		"BOM":                    "\ufeff" + plain,
		"CRLF":                   strings.ReplaceAll(plain, "\n", "\r\n"),
		"no newline":             strings.TrimSpace(plain),
		"document mark":          "---\n" + plain + "...\n",
		"keys in any case":       "ConfigPath:\n  app: {Path: ./a.log, START: beginning}\n",
		"variables in a comment": "# ${NOT_SET}\n" + plain,
		"alias":                  "configpath:\n  app: {path: &p ./a.log, start: beginning}\n  other: {path: ./b.log, labels: {p: *p}}\n",
		"merge":                  "configpath:\n  other: &o {path: ./b.log, start: beginning}\n  app: {<<: *o, path: ./a.log}\n",
		"merge of a list":        "configpath:\n  x: &x {path: ./x, start: beginning}\n  y: &y {path: ./y, start: end}\n  app: {path: ./a.log, <<: [*x, *y]}\n",
		"odd value":              "configpath:\n  app: {path: ./a.log, start: beginning, labels: {l: '${ODD}', m: '${EMPTY}'}}\n",
		"escaped":                "configpath:\n  app: {path: ./a.log, start: \"beginning\"}\n",
	} {
		t.Run(name, func(t *testing.T) {
			s, ok := mustParse(t, yaml).Source("app")
			if !ok || s.Path != abs(t, "/etc/lcs/a.log") || s.Start != "beginning" {
				t.Errorf("got %+v", s)
			}
			if name == "odd value" && (s.Labels["l"] != "a: [b" || s.Labels["m"] != "") {
				t.Errorf("labels %q", s.Labels)
			}
		})
	}
}

func TestHTTP(t *testing.T) {
	for yaml, want := range map[string]struct {
		addr string
		set  bool
	}{
		"":                     {"127.0.0.1:9477", false},
		"http: 127.0.0.1:9477": {"127.0.0.1:9477", true},
		"http: ':0'":           {":0", true},
		"http: '[::1]:80'":     {"[::1]:80", true},
		"http:":                {"", true},
		"http: ''":             {"", true},
		"http: ${EMPTY}":       {"", true},
	} {
		c := mustParse(t, "configpath: {a: ./a}\n"+yaml)
		if c.HTTP != want.addr || c.HTTPSet != want.set {
			t.Errorf("%q: %q, %v", yaml, c.HTTP, c.HTTPSet)
		}
	}
}

// What is special in the name of the configuration's folder is not a pattern.
func TestPatternPaths(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("backslashes separate folders there")
	}
	for path, want := range map[string]struct {
		path string
		glob bool
	}{
		"./a.log":      {"/srv/app[1]/a.log", false},
		`./a\[1\].log`: {"/srv/app[1]/a[1].log", false},
		"./*.log":      {`/srv/app\[1\]/*.log`, true},
		"/x/{a,b}":     {"/x/{a,b}", true},
		"../**/x":      {"/srv/**/x", true},
	} {
		c, err := parse("c", "/srv/app[1]/config.yaml", []byte("configpath: {a: '"+path+"'}"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if s := c.Sources[0]; s.Path != want.path || s.Glob != want.glob {
			t.Errorf("%s: %s, %v", path, s.Path, s.Glob)
		}
	}
	s := Source{Path: escape(`/a[1]{x}*?\`) + "/*.log", Glob: true}
	if !s.matches(`/a[1]{x}*?\/b.log`) || s.matches("/a1x/b.log") {
		t.Errorf("%s does not match its own folder alone", s.Path)
	}
}

func TestWarnings(t *testing.T) {
	c := mustParse(t, `configpath:
  a: {path: ./x.log, outputs: [one]}
  b: {path: ./y/../x.log, outputs: [one]}
outputs:
  one: {type: stdout}
  two: {type: file, path: ./f}
`)
	want := []string{
		"config.yaml:3: configpath.b.path: the same path as source a on line 2; each delivers every line",
		"config.yaml:6: outputs.two: no source uses this output",
	}
	if !reflect.DeepEqual(c.Warnings, want) {
		t.Errorf("%q", c.Warnings)
	}
}

func TestEqual(t *testing.T) {
	const yaml = "configpath: {a: {path: ./a, labels: {x: y}}}\noutputs: {o: {type: stdout}}\n"
	a, b := mustParse(t, yaml), mustParse(t, "\n\npoll: 2s\n"+yaml)
	if !a.Sources[0].Equal(b.Sources[0]) || !a.Outputs[0].Equal(b.Outputs[0]) {
		t.Error("a move to another line is a difference")
	}
	c := mustParse(t, strings.NewReplacer("x: y", "x: z", "stdout", "stdout, format: raw").Replace(yaml))
	if a.Sources[0].Equal(c.Sources[0]) || a.Outputs[0].Equal(c.Outputs[0]) {
		t.Error("a changed value is no difference")
	}
	if _, ok := a.Source("b"); ok {
		t.Error("source b")
	}
	if o, ok := a.Output("o"); !ok || o.Type != "stdout" {
		t.Error("output o")
	}
	if _, ok := a.Output("p"); ok {
		t.Error("output p")
	}
}

func TestLoadUnreadable(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(filepath.Join(dir, "none.yaml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), dir+": is not a regular file") {
		t.Errorf("folder: %v", err)
	}
	big := filepath.Join(dir, "big.yaml")
	if err := os.WriteFile(big, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(big, maxFile+1); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(big); err == nil || !strings.Contains(err.Error(), "is larger than 16MiB") {
		t.Errorf("big: %v", err)
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	old := systemFile
	t.Cleanup(func() { systemFile = old })
	systemFile = filepath.Join(dir, "system.yaml")

	if got, err := Find(""); err == nil {
		t.Errorf("found %q where nothing is", got)
	}
	for _, file := range []string{systemFile, "config.yaml"} {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := Find(""); got != file || err != nil {
			t.Errorf("Find: %q, %v; want %q", got, err, file)
		}
	}
	if got, err := Find("my.yaml"); got != "my.yaml" || err != nil {
		t.Errorf("Find(my.yaml): %q, %v", got, err)
	}
}

// The file that is shipped loads, and so does what it shows in comments.
func TestShipped(t *testing.T) {
	file := filepath.Join("..", "config.yaml")
	c, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Sources) != 3 || c.Sources[0].Name != "logdir1" || len(c.Warnings) != 0 {
		t.Errorf("sources %+v, warnings %q", c.Sources, c.Warnings)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(data)) {
		lines = append(lines, strings.TrimPrefix(line, "#~"))
	}
	all := strings.Join(lines, "")
	if all == string(data) {
		t.Fatal("no examples in comments")
	}
	if _, err := parse("config.yaml", c.File, []byte(all), os.LookupEnv); err != nil {
		t.Errorf("with the examples:\n%v", err)
	}
}

// 1 MB of sources, and of rubbish: an answer within seconds.
func TestLargeFiles(t *testing.T) {
	var good, bad strings.Builder
	good.WriteString("configpath:\n")
	bad.WriteString("configpath:\n")
	for i := 0; good.Len() < 1<<20; i++ {
		name := "  s" + strings.Repeat("x", i%7) + time.Duration(i).String()
		good.WriteString(name + ": ./logs/*/" + name[2:] + ".log\n")
		bad.WriteString(name + ": {pth: 1}\n")
	}
	if c := mustParse(t, good.String()); len(c.Sources) < 10_000 {
		t.Errorf("%d sources", len(c.Sources))
	}
	_, err := parse("c", abs(t, "/c"), []byte(bad.String()), nil)
	if n := strings.Count(err.Error(), "\n"); n != maxShown {
		t.Errorf("%d lines of problems", n)
	}
	if _, err := parse("c", abs(t, "/c"), []byte(good.String()+" x: y\n"), nil); err == nil {
		t.Error("no syntax error")
	}
}

func TestSizes(t *testing.T) {
	for s, want := range map[string]size{
		"0": 0, "17": 17, "17B": 17, "1KiB": 1024, "64 KiB": 65536, "10kB": 10_000, "10KB": 10_000,
		"2MB": 2_000_000, "3GiB": 3 << 30, "1TB": 1e12, "9223372036854775807": 1<<63 - 1,
	} {
		if got, err := parseSize(s); got != want || err != nil {
			t.Errorf("%s: %d, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "B", "-1", "+1", "1.5MiB", "1mb", "1K", "MiB", "1 KiB B", "0x10", "1_0", "8388608TiB", "9223372036854775808"} {
		if got, err := parseSize(s); err == nil {
			t.Errorf("%q: %d", s, got)
		}
	}
}

func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/bad/*.yaml", "../config.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			if data, err := os.ReadFile(file); err == nil && len(data) < 4096 {
				f.Add(data)
			}
		}
	}
	file, err := filepath.Abs("config.yaml")
	if err != nil {
		f.Fatal(err)
	}
	env := func(string) (string, bool) { return secret, true }
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parse("config.yaml", file, data, env)
		if err != nil {
			checkError(t, data, err)
			return
		}
		for _, s := range c.Sources {
			if s.Name == "" || !filepath.IsAbs(s.Path) || len(s.Outputs) == 0 || s.MaxLine < 16 || s.Line < 1 {
				t.Errorf("accepted source %+v", s)
			}
		}
		for _, o := range c.Outputs {
			if o.Name == "" || outputTypes[o.Type] == nil || o.Batch.Bytes < 1<<10 || o.Batch.Records < 1 ||
				o.Batch.Age <= 0 || o.Timeout <= 0 || o.Retry.Initial <= 0 || o.Retry.Max < o.Retry.Initial {
				t.Errorf("accepted output %+v", o)
			}
		}
		if len(c.Sources) == 0 || len(c.Outputs) == 0 || c.Poll < 10*time.Millisecond || !filepath.IsAbs(c.State) {
			t.Errorf("accepted %+v", c)
		}
	})
}

func checkError(t *testing.T, data []byte, err error) {
	t.Helper()
	e := err.(*Error)
	if len(e.Problems) == 0 {
		t.Error("an error without a problem")
	}
	if strings.Contains(err.Error(), "s3cret") && !strings.Contains(string(data), "s3cret") {
		t.Errorf("a secret in %v", err)
	}
	lines := strings.Count(string(data), "\n") + strings.Count(string(data), "\r") +
		strings.Count(string(data), "\u0085") + strings.Count(string(data), "\u2028") + strings.Count(string(data), "\u2029") + 1
	for _, p := range e.Problems {
		if p.Line < 0 || p.Line > lines || p.Reason == "" {
			t.Errorf("problem %+v in %d lines", p, lines)
		}
	}
}
