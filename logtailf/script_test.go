package logtailf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestScripts follows what the scripts in testdata/rotate do to a log: with
// notifications and by polling, with an output that accepts at once and with one
// that accepts late. A script holds one command a line; # begins a comment. The
// commands are the methods in commandsOf.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/rotate/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		for _, deaf := range []bool{false, true} {
			for _, late := range []bool{false, true} {
				way := map[bool]string{false: "notified", true: "polling"}[deaf] +
					map[bool]string{false: "", true: "-late"}[late]
				t.Run(name+"/"+way, func(t *testing.T) {
					t.Parallel()
					runScript(t, string(text), deaf, late)
				})
			}
		}
	}
}

// A script is the state of one run of a script file.
type script struct {
	*world
	want    []string            // all that was expected so far
	blocked bool                // the output accepts nothing until told
	open    map[string]*os.File // what the script's writers hold open
	said    journal             // the follower's log
}

// A journal is text that is written by others.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func runScript(t *testing.T, text string, deaf, late bool) {
	s := &script{world: newWorld(t, "log.txt"), open: map[string]*os.File{}}
	s.deaf, s.sink.late, s.diary = deaf, late, &s.said
	t.Cleanup(func() {
		for _, f := range s.open {
			f.Close()
		}
	})
	commands := commandsOf(s)
	for i, line := range strings.Split(text, "\n") {
		args := words(t, line)
		if len(args) == 0 {
			continue
		}
		do, ok := commands[args[0]]
		if !ok {
			t.Fatalf("line %d: no command %q", i+1, args[0])
		}
		t.Logf("line %d: %s", i+1, line)
		do(args[1:])
	}
}

// words cuts a line into words, of which some are quoted as in Go. %HEAD% stands
// for a header of 2 KiB, longer than any fingerprint.
func words(t *testing.T, line string) (out []string) {
	for line = strings.TrimSpace(line); line != "" && line[0] != '#'; line = strings.TrimSpace(line) {
		word, rest, _ := strings.Cut(line, " ")
		if line[0] == '"' {
			quoted, err := strconv.QuotedPrefix(line)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			word, _ = strconv.Unquote(quoted)
			rest = line[len(quoted):]
			word = strings.ReplaceAll(word, "%HEAD%", strings.Repeat("h", 2048))
		}
		out, line = append(out, word), rest
	}
	return out
}

func commandsOf(s *script) map[string]func(args []string) {
	return map[string]func([]string){
		"follow": func(a []string) { s.cfg.Path = s.path(a[0]) },
		"set":    s.set,

		"up":    func([]string) { s.start() },
		"once":  func([]string) { s.runOnce() },
		"halt":  func([]string) { s.acceptUnlessBlocked(); s.halt() },
		"stop":  func([]string) { s.acceptUnlessBlocked(); s.stop() },
		"kill":  func([]string) { s.kill() },
		"block": func([]string) { s.blocked = true; s.sink.setLate(true) },
		"unblock": func([]string) {
			s.blocked = false
			s.sink.accept()
		},

		"write":       func(a []string) { s.write(a[0], a[1]) },
		"rename":      func(a []string) { s.rename(a[0], a[1]) },
		"copy":        func(a []string) { s.copy(a[0], a[1]) },
		"truncate":    func(a []string) { s.truncate(a[0], number(a[1])) },
		"truncate-up": s.allocate,
		"rm":          func(a []string) { s.remove(a[0]) },
		"rmall":       func(a []string) { s.must(os.RemoveAll(s.path(a[0]))) },
		"mkdir":       func(a []string) { s.must(os.MkdirAll(s.path(a[0]), 0o755)) },
		"symlink":     s.symlink,
		"link":        func(a []string) { s.must(os.Link(s.path(a[0]), s.path(a[1]))) },
		"gzip":        func(a []string) { s.compress(a[0], ".gz") },
		"zstd":        func(a []string) { s.compress(a[0], ".zst") },
		"pack":        s.pack,
		"damage":      s.damage,
		"date":        s.date,

		"open":  s.openFile,
		"put":   func(a []string) { _, err := s.open[a[0]].WriteString(a[1]); s.must(err) },
		"close": func(a []string) { s.must(s.open[a[0]].Close()); delete(s.open, a[0]) },

		"expect":    s.expectNext,
		"any-order": s.expectAnyOrder,
		"taken":     s.takenLines,
		"known":     s.knownCopy,
		"pending":   s.pending,
		"handles":   s.waitHandles,
		"abandoned": s.abandoned,
		"one-id":    s.oneID,
	}
}

func (s *sink) setLate(late bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.late = late
}

func (s *script) acceptUnlessBlocked() {
	if !s.blocked {
		s.sink.accept()
	}
}

// set changes the source's configuration: set start end, set rotated a b, …
func (s *script) set(a []string) {
	switch a[0] {
	case "start":
		s.cfg.FromEnd = a[1] == "end"
	case "exclude":
		s.cfg.Exclude = a[1:]
	case "rotated":
		s.cfg.Rotated = a[1:]
	case "symlinks":
		s.cfg.Symlinks = true
	case "once":
		s.cfg.Once = true
	case "max_line":
		s.cfg.MaxLine = int(number(a[1]))
	case "max_deleted":
		s.cfg.MaxDeleted = number(a[1])
	case "rotate_wait":
		d, err := time.ParseDuration(a[1])
		s.must(err)
		s.cfg.RotateWait = d
	case "handles":
		s.world.handles = NewHandles(int(number(a[1])))
	default:
		s.t.Fatalf("set what? %q", a)
	}
}

// allocate makes a file of NULs.
func (s *script) allocate(a []string) {
	s.must(os.WriteFile(s.path(a[0]), make([]byte, number(a[1])), 0o644))
}

// runOnce follows until the follower ends by itself.
func (s *script) runOnce() {
	s.t.Helper()
	s.launch()
	select {
	case err := <-s.done:
		s.must(err)
	case <-time.After(patience):
		s.t.Fatal("the follower does not end")
	}
	s.done <- nil // for stop
	s.sink.accept()
	s.stop()
}

// symlink makes the link a[1] lead to a[0], in one step if it leads elsewhere.
func (s *script) symlink(a []string) {
	s.must(os.Symlink(a[0], s.path("new-link")))
	s.must(os.Rename(s.path("new-link"), s.path(a[1])))
}

// pack makes a compressed copy a[1] of a[0], which stays.
func (s *script) pack(a []string) {
	ext := filepath.Ext(a[1])
	s.copy(a[0], "pack.tmp")
	s.compress("pack.tmp", ext)
	s.rename("pack.tmp"+ext, a[1])
}

// damage cuts the last a[1] bytes of a[0] off.
func (s *script) damage(a []string) {
	fi, err := os.Stat(s.path(a[0]))
	s.must(err)
	s.truncate(a[0], fi.Size()-number(a[1]))
}

// date has a[0] be written last so long from now on, as a clock did that was set back since.
func (s *script) date(a []string) {
	d, err := time.ParseDuration(a[1])
	s.must(err)
	then := time.Now().Add(d)
	s.must(os.Chtimes(s.path(a[0]), then, then))
}

// openFile: open HANDLE FILE [append]
func (s *script) openFile(a []string) {
	flags := os.O_CREATE | os.O_WRONLY
	if len(a) > 2 && a[2] == "append" {
		flags |= os.O_APPEND
	}
	f, err := os.OpenFile(s.path(a[1]), flags, 0o644)
	s.must(err)
	s.open[a[0]] = f
}

// delivered is what the output accepted, with the pieces of long lines in brackets.
func (s *script) delivered() []string {
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	var out []string
	for _, d := range s.sink.accepted {
		switch {
		case d.partial == nil:
			out = append(out, d.text)
		case d.partial.Last:
			out = append(out, fmt.Sprintf("[%d.]%s", d.partial.Piece, d.text))
		default:
			out = append(out, fmt.Sprintf("[%d]%s", d.partial.Piece, d.text))
		}
	}
	return out
}

func (s *script) come(n int) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("%d lines", n), func() bool {
		s.acceptUnlessBlocked()
		return len(s.delivered()) >= n
	})
}

// expectNext waits for these lines, and that nothing else came before them.
func (s *script) expectNext(lines []string) {
	s.t.Helper()
	s.want = append(s.want, lines...)
	s.come(len(s.want))
	if got := s.delivered(); !slices.Equal(got, s.want) {
		s.t.Fatalf("delivered\n%s\nnot\n%s", brief(got), brief(s.want))
	}
}

// expectAnyOrder is expectNext for lines whose order nothing tells.
func (s *script) expectAnyOrder(lines []string) {
	s.t.Helper()
	s.come(len(s.want) + len(lines))
	got := s.delivered()
	next := slices.Clone(got[len(s.want):])
	slices.Sort(next)
	if slices.Sort(lines); !slices.Equal(next, lines) {
		s.t.Fatalf("delivered\n%s\nthen expected, in any order,\n%s", brief(got), brief(lines))
	}
	s.want = got
}

// takenLines waits until the output has taken so many lines that it did not accept.
func (s *script) takenLines(a []string) {
	s.t.Helper()
	s.eventually(a[0]+" lines to be taken", func() bool {
		s.sink.mu.Lock()
		defer s.sink.mu.Unlock()
		n := 0
		for _, b := range s.sink.taken {
			n += b.Count
		}
		return n == int(number(a[0]))
	})
}

// knownCopy waits until the follower has found out that a[0] is a copy. From a log that was
// truncated since, it could not.
func (s *script) knownCopy(a []string) {
	s.t.Helper()
	s.eventually(a[0]+" to be known", func() bool {
		for line := range strings.Lines(s.said.String()) {
			if strings.Contains(line, "it is a copy") && strings.Contains(line, s.path(a[0])) {
				return true
			}
		}
		return false
	})
}

// pending waits until so many rotated generations are not let go yet.
func (s *script) pending(a []string) {
	s.t.Helper()
	s.eventually(a[0]+" pending generations", func() bool {
		s.acceptUnlessBlocked()
		return s.follower.Stats().Pending == int(number(a[0]))
	})
}

// waitHandles waits until so many files are open.
func (s *script) waitHandles(a []string) {
	s.t.Helper()
	s.eventually(a[0]+" open files", func() bool { return s.world.handles.Open() == int(number(a[0])) })
}

// abandoned waits until so many bytes are counted as abandoned for that reason.
func (s *script) abandoned(a []string) {
	s.t.Helper()
	s.eventually(a[1]+" abandoned bytes", func() bool {
		s.sink.mu.Lock()
		defer s.sink.mu.Unlock()
		n, ok := s.sink.abandoned[a[0]]
		return ok && n == number(a[1])
	})
}

// oneID checks that all these lines are records of one generation, each with the
// offset that it says: one-id 0 "one" 4 "two".
func (s *script) oneID(a []string) {
	s.t.Helper()
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	gens := map[string]bool{}
	for ; len(a) > 1; a = a[2:] {
		i := slices.IndexFunc(s.sink.accepted, func(d delivered) bool { return d.text == a[1] })
		if i < 0 {
			s.t.Fatalf("%q was not delivered", a[1])
		}
		d := s.sink.accepted[i]
		gens[d.gen] = true
		if d.offset != number(a[0]) {
			s.t.Errorf("%q is at offset %d, not %s", d.text, d.offset, a[0])
		}
		if d.file != s.cfg.Path {
			s.t.Errorf("%q is of file %s", d.text, d.file)
		}
	}
	if len(gens) != 1 {
		s.t.Errorf("the lines have the generations %v, not one", gens)
	}
}

// A script that expects too little, or something else, must fail.
func TestScriptWords(t *testing.T) {
	got := words(t, `write log.txt "a \"b\"\n" tail # comment`)
	if want := []string{"write", "log.txt", "a \"b\"\n", "tail"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if len(words(t, "  # only a comment")) != 0 {
		t.Error("a comment has words")
	}
	if _, err := os.Stat("testdata/rotate"); errors.Is(err, fs.ErrNotExist) {
		t.Error("no scripts")
	}
}
