package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/leak"
)

// TestMain lets the tests start the program itself, to send it signals.
func TestMain(m *testing.M) {
	if os.Getenv("WRITEFILE_BE_MAIN") != "" {
		main()
	}
	leak.Main(m)
}

// result is what a run came to.
type result struct {
	code           int
	stdout, stderr string
}

// writefile runs the program in the working folder.
func writefile(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	args = append([]string{}, args...) // for nil cobra takes those of the test
	code := run(t.Context(), args, strings.NewReader(stdin), &stdout, &stderr)
	return result{code, stdout.String(), stderr.String()}
}

func (r result) want(t *testing.T, code int, texts ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d; stdout %q, stderr %q", r.code, code, r.stdout, r.stderr)
	}
	for _, text := range texts {
		if !strings.Contains(r.stdout+r.stderr, text) {
			t.Errorf("no %q in stdout %q, stderr %q", text, r.stdout, r.stderr)
		}
	}
}

// inFolder changes to a new folder with a configuration.
func inFolder(t *testing.T, config string) {
	t.Helper()
	t.Chdir(t.TempDir())
	if config == "" {
		return
	}
	if err := os.WriteFile("config.yaml", []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
}

const threeLogs = `configpath:
  logdir1: ./logdir1/log.txt
  logdir2: ./logdir2/log.txt
  logdir3: ./logdir3/log.txt
`

func TestWithoutFlags(t *testing.T) {
	inFolder(t, threeLogs)
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		r := writefile(t, "")
		if took := time.Since(start); took != 1900*time.Millisecond {
			t.Errorf("took %v", took)
		}
		r.want(t, exitOK)
		if r.stderr != "" {
			t.Errorf("a bar that nobody looks at: %q", r.stderr)
		}
		for i := 1; i <= 3; i++ {
			backups, _ := filepath.Glob(fmt.Sprintf("logdir%d/*.txt", i))
			if len(backups) != 1 {
				t.Fatalf("backups: %v", backups)
			}
			data, err := os.ReadFile(backups[0])
			if err != nil || bytes.Count(data, []byte("\nHello current time is ")) != 19 {
				t.Errorf("%v: %q", err, data)
			}
			r.want(t, exitOK, fmt.Sprintf("logdir%d: 20 lines to ./logdir%d/log.txt, renamed to ./%s\n", i, i, backups[0]))
		}
	})
}

func TestWriteThenVerify(t *testing.T) {
	inFolder(t, threeLogs)
	for i, mode := range []string{"rename", "rename-keep", "copytruncate", "gzip", "zstd", "none"} {
		from := fmt.Sprint(i*100 + 1)
		r := writefile(t, "", "--numbered", "--rate=0", "--lines=100", "--every=30", "--writers=2", "--size=120",
			"--rotate="+mode, "--from="+from, "--json", "--late=3")
		r.want(t, exitOK, "logdir3: written: 100 lines")
		if err := os.WriteFile(mode+".json", []byte(r.stdout), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all := []string{"verify", "logdir?/*"}
	for _, mode := range []string{"rename", "rename-keep", "copytruncate", "gzip", "zstd", "none"} {
		all = append(all, "--expect-json="+mode+".json")
	}
	writefile(t, "", all...).want(t, exitOK, "logdir1: 600 lines, each once and in order")

	backups, _ := filepath.Glob("logdir2/*.gz")
	if err := os.Remove(backups[0]); err != nil {
		t.Fatal(err)
	}
	writefile(t, "", all...).want(t, exitWrong, "logdir1: 600 lines, each once", "logdir2:", "lost")
}

func TestRotationsAreTold(t *testing.T) {
	inFolder(t, "configpath: {a: ./a/log.txt}\n")
	for mode, text := range map[string]string{
		"copytruncate": "and emptied", "delete": "a: 20 lines to ./a/log.txt, deleted",
		"gzip": ".txt.gz\n", "rename-keep": "up to 5 late lines",
	} {
		writefile(t, "", "--rate=0", "--settle=0", "--rotate="+mode).want(t, exitOK, text)
		if r := writefile(t, "", "--rate=0", "--settle=0", "--rotate="+mode, "-q"); strings.Contains(r.stdout, text) {
			t.Errorf("not quiet: %q", r.stdout)
		}
	}
}

func TestPaths(t *testing.T) {
	inFolder(t, "")
	r := writefile(t, "", "--rate=0", "--rotate=none", "--numbered", "--paths=x/log.txt", "--paths=y/log.txt", "--paths=n=z.log")
	r.want(t, exitOK, "log: written", "log-2: written", "n: written")
	writefile(t, "", "verify", "x/log.txt", "y/log.txt", "z.log").want(t, exitOK, "log-2: 20 lines", "n: 20 lines")
	writefile(t, "", "--paths=a=x", "--paths=a=y").want(t, exitUsage, "given twice")
	writefile(t, "", "--paths=a=").want(t, exitUsage, "needs a name and a path")
}

func TestGlobs(t *testing.T) {
	inFolder(t, `configpath:
  apps: ./app/**/*.log
  one: ./one.txt
  same: ./one.txt
  hard: ./x/[ab].log
  not: {path: ./n/*.log, exclude: ['sim*']}
`)
	r := writefile(t, "", "--rate=0", "--rotate=none")
	r.want(t, exitOK, "hard: skipped", "not: skipped", "same: skipped", "one: written")
	if _, err := os.Stat("app/sim/sim.log"); err != nil {
		t.Error(err)
	}
}

func TestSatisfy(t *testing.T) {
	for pattern, want := range map[string]string{
		"/a/*.log": "/a/sim.log", "/a/**/b?.{x,y}": "/a/sim/bs.x", `/a\*b/*`: "/a*b/sim",
		"/[a-c].log": "", "/a{b": "", "/plain": "/plain",
	} {
		if got, ok := satisfy(pattern); ok != (want != "") || ok && got != want {
			t.Errorf("%s: %q %v", pattern, got, ok)
		}
	}
}

func TestUsageErrors(t *testing.T) {
	inFolder(t, "configpath: {a: 7")
	for _, args := range [][]string{
		{"--bogus"}, {"argument"}, {"--lines=0"}, {"--every=x"}, {"--every=-1s"}, {"--every=0"}, {"--rotate=sideways"},
		{"-c", "missing.yaml"}, {}, {"verify", "missing"}, {"verify", "--format=xml"}, {"verify", "--allow=x"},
		{"verify", "--expect=x"}, {"verify", "--expect=x=y"}, {"verify", "--expect-json=missing"},
		{"verify", "--expect-json=config.yaml"}, {"verify", "--bogus"},
	} {
		r := writefile(t, "", args...)
		r.want(t, exitUsage, "writefile: ")
		if r.stdout != "" {
			t.Errorf("%v: stdout %q", args, r.stdout)
		}
	}
}

func TestWriteFailure(t *testing.T) {
	inFolder(t, "configpath: {a: ./a/log.txt}\n")
	if err := os.WriteFile("a", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	writefile(t, "", "--json").want(t, exitWrong, "writing ", `{"sources":[{"source":"a"`)
}

func TestVerifyCommand(t *testing.T) {
	inFolder(t, "configpath: {a: ./log.txt}\n")
	writefile(t, "", "--rate=0", "--rotate=none", "--numbered").want(t, exitOK)
	data, err := os.ReadFile("log.txt")
	if err != nil {
		t.Fatal(err)
	}
	raw := string(data)
	second := strings.SplitAfter(raw, "\n")[1]
	text := "a: " + strings.ReplaceAll(strings.TrimSpace(raw), "\n", "\na: ") + "\n"
	for _, c := range []struct {
		in   string
		args []string
		code int
		text string
	}{
		{raw, nil, exitOK, "a: 20 lines, each once and in order"},
		{text, []string{"-"}, exitOK, "a: 20 lines, each once and in order"},
		{text, []string{"--format=raw"}, exitWrong, "20 torn"},
		{raw, []string{"--expect=a=20"}, exitOK, ""},
		{raw, []string{"--expect=a/w1=21"}, exitWrong, "20 lines of 21: 1 lost"},
		{raw, []string{"--expect=a/w2=1"}, exitWrong, "1 lost"},
		{strings.Replace(raw, second, "", 1), nil, exitWrong, "a/w1 2, at stdin:2"},
		{strings.ReplaceAll(text, "a: ", "b: "), []string{"--expect=a=20"}, exitWrong, "b: 20 lines: 20 wrong source\n  wrong source  a/w1 1 to 20, at stdin:1\n"},
		{text + strings.ReplaceAll(text, "a: ", "b: "), []string{"--expect=a=20", "--allow=wrong source"}, exitOK, "20 wrong source"},
		{raw, []string{"--expect=a=20", "--expect=a=19"}, exitOK, "a: 20 lines, each"},
		{raw, []string{"--expect=a=19", "--expect=a=19"}, exitWrong, "20 lines of 19: 1 unexpected"},
		{raw + second, nil, exitWrong, "1 repeated"},
		{raw + second, []string{"--allow=repeated"}, exitOK, "1 repeated"},
		{raw + second + "x\n", []string{"--allow=repeated,out of order", "--json"}, exitWrong, `"torn":1`},
		{raw + second + "x\n", []string{"--allow=repeated,torn,lost,unexpected,out of order"}, exitOK, "1 torn"},
		{"", nil, exitWrong, "nothing to check"},
		{"", []string{"--expect=a=3"}, exitWrong, "3 lost"},
		{"Hello current time is 2026-01-02 15:04:05\n", nil, exitOK, "counted only"},
	} {
		r := writefile(t, c.in, append([]string{"verify"}, c.args...)...)
		r.want(t, c.code, c.text)
		if r.stdout != "" && r.stderr != "" {
			t.Errorf("the report says it all; stderr %q", r.stderr)
		}
	}
}

func TestVerifyDamagedFile(t *testing.T) {
	inFolder(t, "")
	if err := os.WriteFile("out.gz", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	writefile(t, "", "verify", "out.gz").want(t, exitWrong, "out.gz: ")
}

// Ctrl-C while all writers and rotations are busy: exit code 0, and on disk is what it says.
func TestInterrupt(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no process can be interrupted")
	}
	inFolder(t, threeLogs)
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	cmd := exec.CommandContext(ctx, os.Args[0], "--numbered", "--rate=5000", "--rounds=0", "--lines=50", "--writers=2", "--json")
	cmd.Env = append(os.Environ(), "WRITEFILE_BE_MAIN=1")
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	told, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	lines := bufio.NewScanner(told)
	for n := 0; lines.Scan(); n++ {
		stopped = stopped || lines.Text() == "stopped"
		if n == 20 {
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Error(err)
			}
		}
	}
	if err := cmd.Wait(); err != nil || !stopped {
		t.Fatalf("%v; said that it was stopped: %v", err, stopped)
	}
	if err := os.WriteFile("w.json", stdout.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	writefile(t, "", "verify", "--expect-json=w.json", "logdir*/*").want(t, exitOK, "each once and in order")
}
