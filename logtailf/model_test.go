package logtailf

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	modelRuns  = flag.Int("modelruns", 12, "random histories to follow")
	modelSeed  = flag.Uint64("modelseed", 1, "the first history's seed; 0: others with each run")
	modelSteps = flag.Int("modelsteps", 60, "steps of each history")
)

// TestModel follows random histories of a log: written, half written, renamed,
// copied and truncated, truncated, deleted, made again, compressed, while the
// follower runs, is stopped, is killed, is blocked. No line may be lost,
// invented or repeated, and all but those written late to a renamed file come in order.
func TestModel(t *testing.T) {
	first := *modelSeed
	if first == 0 {
		first = rand.Uint64() >> 12
	}
	for i := range uint64(*modelRuns) {
		seed := first + i
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			newModel(t, seed).run(*modelSteps)
		})
	}
}

// A model is a log's history and what must come of it.
type model struct {
	*world
	rnd     *rand.Rand
	n       int
	partial string          // the unfinished last line of the log
	want    []string        // in order
	late    map[string]bool // in any order
	kept    []string        // names of rotated files, the newest first
	stamp   bool            // rotated names are dates, not numbers
	stamps  int
	history []string

	header string // the first line of every file: longer than a fingerprint
	holes  bool   // the writer does not append: copytruncate leaves a hole under it
	at     int64  // where it writes

	second int      // lines in app2.log, a second log in the glob
	other  []string // what must come of it
}

func newModel(t *testing.T, seed uint64) *model {
	m := &model{rnd: rand.New(rand.NewPCG(seed, 1)), late: map[string]bool{}}
	pattern := []string{"app.log", "app.log", "app*", "*.log"}[m.rnd.IntN(4)]
	m.world = newWorld(t, pattern)
	m.deaf = m.rnd.IntN(2) == 0
	m.stamp = m.rnd.IntN(2) == 0
	if m.rnd.IntN(3) == 0 {
		m.cfg.MaxLine = 64
	}
	if m.rnd.IntN(3) == 0 {
		m.handles = NewHandles(2)
	}
	if m.rnd.IntN(4) == 0 && m.cfg.MaxLine > 64 {
		m.header = strings.Repeat("h", 2*headMax)
	}
	m.holes = m.rnd.IntN(4) == 0
	m.history = append(m.history, fmt.Sprintf("pattern %s, deaf %v, stamp %v, header %v, holes %v",
		pattern, m.deaf, m.stamp, m.header != "", m.holes))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("history: %s", strings.Join(m.history, "\n  "))
		}
	})
	return m
}

func (m *model) note(format string, args ...any) {
	m.history = append(m.history, time.Now().UTC().Format("05.000 ")+fmt.Sprintf(format, args...))
}

func (m *model) run(steps int) {
	ops := []struct {
		weight int
		do     func()
	}{
		{10, m.writeLines}, {3, m.writePart}, {6, m.rotate}, {3, m.rotateLate}, {3, m.copytruncate},
		{1, m.truncateRead}, {1, m.deleteRead}, {2, m.compressOne}, {2, m.sync},
		{2, m.restart}, {2, m.killed}, {2, m.down}, {2, m.toggle},
		{2, m.writeSecond}, {1, m.rotateSecond},
	}
	var bag []func()
	for _, op := range ops {
		bag = append(bag, slices.Repeat([]func(){op.do}, op.weight)...)
	}
	m.start()
	for range steps {
		bag[m.rnd.IntN(len(bag))]()
	}
	m.sync()
	m.restart() // what came late to a file let go is found at the next start
	m.writeLines()
	m.sync()
}

func (m *model) line() string {
	m.n++
	return fmt.Sprintf("%06d%s", m.n, strings.Repeat("-x", m.rnd.IntN(20)))
}

func (m *model) writeLines() {
	var text strings.Builder
	for range 1 + m.rnd.IntN(40) {
		line := m.line()
		text.WriteString(line + "\n")
		m.want = append(m.want, m.partial+line)
		m.partial = ""
	}
	m.note("write %d bytes up to %d", text.Len(), m.n)
	m.append(text.String())
}

// append writes to the log as its writer does.
func (m *model) append(text string) {
	fi, err := os.Stat(m.path("app.log"))
	if err != nil {
		m.at = 0 // a new file
	}
	if m.header != "" && (err != nil || fi.Size() == 0) {
		text = m.header + "\n" + text
	}
	if !m.holes {
		m.write("app.log", text)
		return
	}
	f, err := os.OpenFile(m.path("app.log"), os.O_CREATE|os.O_WRONLY, 0o644)
	m.must(err)
	_, err = f.WriteAt([]byte(text), m.at)
	m.must(err)
	m.must(f.Close())
	m.at += int64(len(text))
}

// writeSecond writes to another log, which only a glob follows.
func (m *model) writeSecond() {
	m.second++
	line := fmt.Sprintf("second %d", m.second)
	m.note("%s", line)
	m.write("app2.log", line+"\n")
	if m.follower.finder.glob {
		m.other = append(m.other, line)
	}
}

func (m *model) rotateSecond() {
	if _, err := os.Stat(m.path("app2.log")); err == nil {
		m.note("rename the second")
		m.rename("app2.log", fmt.Sprintf("app2.log-%d", 20261122000000+m.second))
		m.writeSecond()
	}
}

func (m *model) writePart() {
	part := m.line() + "~"
	m.note("write part %q", part)
	m.append(part)
	m.partial += part
}

// cutOff makes the unfinished line a record of its own: its file is rotated.
func (m *model) cutOff() {
	if m.partial != "" {
		m.want = append(m.want, m.partial)
		m.partial = ""
	}
}

func (m *model) exists() bool {
	_, err := os.Stat(m.path("app.log"))
	return err == nil
}

// free makes room for a rotated file and returns its name.
func (m *model) free() string {
	if m.stamp {
		m.stamps++
		name := "app.log-" + time.Date(2026, 11, 22, 0, 0, m.stamps, 0, time.UTC).Format("20060102150405")
		m.kept = append([]string{name}, m.kept...)
		return name
	}
	for i := len(m.kept) - 1; i >= 0; i-- {
		ext := strings.TrimPrefix(m.kept[i], fmt.Sprintf("app.log.%d", i+1))
		to := fmt.Sprintf("app.log.%d%s", i+2, ext)
		m.rename(m.kept[i], to)
		m.kept[i] = to
	}
	m.kept = append([]string{"app.log.1"}, m.kept...)
	return "app.log.1"
}

func (m *model) rotate() {
	if !m.exists() {
		return
	}
	to := m.free()
	m.note("rename to %s", to)
	m.rename("app.log", to)
	m.cutOff()
	if m.rnd.IntN(2) == 0 {
		m.writeLines()
	}
}

func (m *model) rotateLate() {
	if !m.exists() || m.partial != "" {
		return
	}
	m.rotate()
	for range 1 + m.rnd.IntN(5) {
		line := "late " + m.line()
		m.late[line] = true
		m.note("late %q to %s", line, m.kept[0])
		m.write(m.kept[0], line+"\n")
	}
}

func (m *model) copytruncate() {
	if fi, err := os.Stat(m.path("app.log")); err != nil || fi.Size() == 0 {
		return
	}
	to := m.free()
	m.note("copytruncate to %s", to)
	m.copy("app.log", to)
	m.truncate("app.log", 0)
	m.cutOff()
	if m.rnd.IntN(2) == 0 {
		m.writeLines()
	}
}

// truncateRead truncates what was delivered: the rest would be lost to anybody.
func (m *model) truncateRead() {
	m.writeLines()
	m.sync()
	m.note("truncate")
	m.truncate("app.log", 0)
	m.writeLines()
}

func (m *model) deleteRead() {
	m.writeLines()
	m.sync()
	m.note("delete")
	m.remove("app.log")
	if m.rnd.IntN(2) == 0 {
		m.writeLines()
	}
}

func (m *model) compressOne() {
	if len(m.kept) == 0 {
		return
	}
	i := m.rnd.IntN(len(m.kept))
	if strings.HasSuffix(m.kept[i], ".gz") || strings.HasSuffix(m.kept[i], ".zst") {
		return
	}
	ext := []string{".gz", ".zst"}[m.rnd.IntN(2)]
	m.note("compress %s%s", m.kept[i], ext)
	m.compress(m.kept[i], ext)
	m.kept[i] += ext
}

func (m *model) restart() {
	m.note("restart")
	m.sink.accept()
	m.stop()
	m.start()
}

func (m *model) killed() {
	m.note("kill")
	m.kill()
	m.start()
}

// down does something while the follower is not there.
func (m *model) down() {
	m.note("down")
	m.kill()
	ops := []func(){m.writeLines, m.rotate, m.rotate, m.copytruncate, m.compressOne, m.writePart}
	for range m.rnd.IntN(6) {
		ops[m.rnd.IntN(len(ops))]()
	}
	m.note("up")
	m.start()
}

// toggle makes the output late, or prompt again.
func (m *model) toggle() {
	m.sink.mu.Lock()
	m.sink.late = !m.sink.late
	m.note("late output: %v", m.sink.late)
	m.sink.mu.Unlock()
}

// sync waits until all that was written is delivered, and compares.
func (m *model) sync() {
	m.note("sync")
	if m.partial != "" {
		m.writeLines()
	}
	swept := false
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		m.sink.accept()
		got, late := m.delivered()
		if len(late) < len(m.late) && slices.Equal(got, m.want) && m.deaf && !swept {
			swept = true // a file that was let go is only looked at by the sweep
			deadline = deadline.Add(sweepEvery)
		}
		if len(got) > len(m.want) || len(late) == len(m.late) && slices.Equal(got, m.want) && len(m.seconds()) >= len(m.other) {
			break
		}
	}
	if got := m.seconds(); !slices.Equal(got, m.other) {
		m.t.Fatalf("of the second log: %q, not %q", got, m.other)
	}
	got, late := m.delivered()
	if len(late) < len(m.late) {
		m.t.Errorf("%d of %d late lines came", len(late), len(m.late))
	}
	if !slices.Equal(got, m.want) {
		m.note("batches: %s", m.sink.batches())
		m.note("follower: %s", m.state())
		m.t.Fatalf("delivered and written differ first at %s", difference(got, m.want))
	}
	for text, n := range late {
		if n != 1 {
			m.t.Fatalf("%q came %d times", text, n)
		}
	}
}

// state stops the follower and shows what it knew.
func (m *model) state() string {
	f := m.follower
	m.halt()
	var b strings.Builder
	for _, t := range f.trails {
		fmt.Fprintf(&b, "\n    %s: blocked %d, ready %v", t.name(), t.blocked, t.ready)
		for _, g := range t.known {
			fmt.Fprintf(&b, "\n      %s inode %d at %q (last %q) read %d accepted %d size %d: queued %v rotated %v deleted %v atEnd %v done %v skip %v",
				g.id, g.ident.ino, baseName(g.place), baseName(g.last), g.read, g.accepted.Load(), g.size, g.queued, g.rotated, g.deleted, g.atEnd, g.done, g.skip)
		}
	}
	return b.String()
}

// seconds is what came of the second log.
func (m *model) seconds() (got []string) {
	for _, text := range m.records() {
		if strings.HasPrefix(text, "second") {
			got = append(got, text)
		}
	}
	return got
}

// delivered is what came in order, and how often each late line came.
func (m *model) delivered() (got []string, late map[string]int) {
	late = map[string]int{}
	for _, text := range m.records() {
		if strings.HasPrefix(text, "second") || m.header != "" && text == m.header {
			continue // the headers are all the same: nobody can tell their order
		}
		if m.late[text] {
			late[text]++
			continue
		}
		got = append(got, text)
	}
	return got, late
}

// records joins the pieces of over-long lines.
func (m *model) records() []string {
	m.sink.mu.Lock()
	defer m.sink.mu.Unlock()
	var out []string
	last := map[string]int{} // where the last record of each file is
	for _, d := range m.sink.accepted {
		if i, ok := last[d.file]; ok && d.partial != nil && d.partial.Piece > 0 {
			out[i] += d.text
			continue
		}
		last[d.file] = len(out)
		out = append(out, d.text)
	}
	return out
}

func difference(got, want []string) string {
	i := 0
	for i < len(got) && i < len(want) && got[i] == want[i] {
		i++
	}
	short := func(lines []string) (out []string) {
		for _, l := range lines[i:min(i+5, len(lines))] {
			out = append(out, l[:min(12, len(l))])
		}
		return out
	}
	return fmt.Sprintf("%d: got %q, want %q", i, short(got), short(want))
}
