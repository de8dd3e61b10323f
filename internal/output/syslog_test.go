package output

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/logcatchsys/logcatchsys/internal/record"
	"github.com/logcatchsys/logcatchsys/logconfig"
)

// A syslogMessage is a message of RFC 5424, taken apart.
type syslogMessage struct {
	pri                          int
	at                           time.Time
	host, app, procid, msgid, id string
	param                        map[string]string
	msg                          string
}

var (
	syslogHeader = regexp.MustCompile(`^<(0|[1-9][0-9]{0,2})>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)) ` +
		`([!-~]{1,255}) ([!-~]{1,48}) ([!-~]{1,128}) ([!-~]{1,32}) \[([!#-<>-\\^-~]{1,32})`)
	syslogParam = regexp.MustCompile(`^ ([!#-<>-\\^-~]{1,32})="((?:[^"\\\]]|\\["\\\]])*)"`)
	unescaped   = strings.NewReplacer(`\"`, `"`, `\\`, `\`, `\]`, `]`)
)

// parseSyslog reads a message by the grammar (RFC 5424, 6), with one element.
func parseSyslog(text string) (m syslogMessage, err error) {
	head := syslogHeader.FindStringSubmatch(text)
	if head == nil {
		return m, fmt.Errorf("no header: %q", text)
	}
	m.pri, _ = strconv.Atoi(head[1])
	if m.at, err = time.Parse(time.RFC3339Nano, head[2]); err != nil || m.pri > 191 {
		return m, fmt.Errorf("a bad header: %q", text)
	}
	m.host, m.app, m.procid, m.msgid, m.id, m.param = head[3], head[4], head[5], head[6], head[7], map[string]string{}
	rest := text[len(head[0]):]
	for !strings.HasPrefix(rest, "]") {
		p := syslogParam.FindStringSubmatch(rest)
		if p == nil || !utf8.ValidString(p[2]) {
			return m, fmt.Errorf("no param: %q", rest)
		}
		if _, twice := m.param[p[1]]; twice {
			return m, fmt.Errorf("the param %s stands twice", p[1])
		}
		m.param[p[1]] = unescaped.Replace(p[2])
		rest = rest[len(p[0]):]
	}
	if rest = rest[1:]; rest != "" && rest[0] != ' ' {
		return m, fmt.Errorf("no space before the message: %q", rest)
	}
	m.msg = strings.TrimPrefix(rest, " ")
	return m, nil
}

// readSyslog reads a message with its octet count (RFC 6587, 3.4.1).
func readSyslog(r *bufio.Reader) (m syslogMessage, err error) {
	count, err := r.ReadString(' ')
	if err != nil {
		return m, err
	}
	n, err := strconv.Atoi(count[:len(count)-1])
	if err != nil || n > syslogMost || strings.HasPrefix(count, "0") {
		return m, fmt.Errorf("a bad count: %q", count)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return m, err
	}
	return parseSyslog(string(text))
}

// A receiver takes syslog messages from the connections that l accepts.
type receiver struct {
	l       net.Listener
	mu      sync.Mutex
	all     []syslogMessage
	bad     error
	conns   []net.Conn
	stalled bool
	stopped bool
	wg      sync.WaitGroup
}

func newReceiver(t testing.TB, l net.Listener) *receiver {
	r := &receiver{l: l}
	r.wg.Add(1)
	go r.accept()
	t.Cleanup(func() {
		r.stop()
		r.wg.Wait()
		must(t, r.bad)
	})
	return r
}

// stop closes all as a process does that ends.
func (r *receiver) stop() {
	r.l.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		c.Close()
	}
	r.conns, r.stopped = nil, true
}

func (r *receiver) accept() {
	defer r.wg.Done()
	for {
		c, err := r.l.Accept()
		if err != nil {
			return
		}
		r.take(c)
	}
}

func (r *receiver) take(c net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped { // just now
		c.Close()
		return
	}
	r.conns = append(r.conns, c)
	if !r.stalled {
		r.wg.Add(1)
		go r.read(c)
	}
}

func (r *receiver) read(c net.Conn) {
	defer r.wg.Done()
	defer c.Close()
	in := bufio.NewReader(c)
	for {
		m, err := readSyslog(in)
		r.mu.Lock()
		var cut net.Error
		switch {
		case err == nil:
			r.all = append(r.all, m)
		case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.As(err, &cut):
			r.bad = errors.Join(r.bad, err)
		}
		r.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// stall has it not read what comes on new connections.
func (r *receiver) stall() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stalled = true
}

// wake has the connections read that were not.
func (r *receiver) wake() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stalled = false
	for _, c := range r.conns {
		r.wg.Add(1)
		go r.read(c)
	}
}

func (r *receiver) got() []syslogMessage {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all[:len(r.all):len(r.all)]
}

func (r *receiver) connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.conns)
}

func (r *receiver) messages(source string) (all []string) {
	for _, m := range r.got() {
		if m.param["source"] == source {
			all = append(all, m.msg)
		}
	}
	return all
}

func listen(t testing.TB, address string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	must(t, err)
	return l
}

func syslogSpec(address string) Spec {
	return Spec{
		Name: "sys", Type: "syslog", Address: address, Format: "raw", Facility: "local0", Severity: "info",
		Timeout: 10 * time.Second, Batch: logconfig.Batch{Bytes: 1 << 20, Records: 1000, Age: time.Second},
		Retry: logconfig.Retry{Initial: 10 * time.Millisecond, Max: time.Second},
	}
}

func syslogFarEnd(t *testing.T) farEnd {
	r := newReceiver(t, listen(t, "127.0.0.1:0"))
	return farEnd{spec: syslogSpec("tcp://" + r.l.Addr().String()), got: r.messages, blind: true, survives: "refusals, cut at once"}
}

// opened opens spec with a dead letter.
func openedSyslog(t testing.TB, spec Spec, env Env) (o Output, dead string) {
	t.Helper()
	dead = t.TempDir() + "/dead.jsonl"
	spec.DeadLetter = dead
	env.Host, env.Note = "h1", func([]byte) error { return nil }
	if env.Log == nil {
		env.Log = quiet()
	}
	o, err := Open(spec, env)
	must(t, err)
	t.Cleanup(func() { must(t, o.Close()) })
	return o, dead
}

// encodedSyslog is b as messages.
func encodedSyslog(t testing.TB, spec Spec, host string, b *record.Batch) []syslogMessage {
	t.Helper()
	e, err := newSyslogEncoder(spec, host, true)
	must(t, err)
	e.Encode(b)
	var all []syslogMessage
	in, from := bufio.NewReader(bytes.NewReader(b.Out)), 0
	for i, s := range b.Spans {
		m, err := readSyslog(in)
		if err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
		if one, err := readSyslog(bufio.NewReader(bytes.NewReader(b.Out[from:s.End]))); err != nil || one.msg != m.msg {
			t.Fatalf("span %d is not message %d: %v", i, i, err)
		}
		from = s.End
		all = append(all, m)
	}
	if _, err := in.ReadByte(); err != io.EOF {
		t.Fatal("something follows the messages")
	}
	return all
}

func TestSyslogMessage(t *testing.T) {
	spec := syslogSpec("tcp://h:1")
	b := sample("web", 1, 2)
	b.Read = time.Date(2026, 11, 22, 8, 34, 1, 123456789, time.FixedZone("", 3600))
	e, err := newSyslogEncoder(spec, "h1", true)
	must(t, err)
	e.Encode(b)
	message := `<134>1 2026-11-22T07:34:01.123456Z h1 web - - [logcatchsys@32473 source="web" file="/var/log/web.log"` +
		` label.env="test" offset="26" id="gen-web:26"] web 00000002`
	if want := fmt.Sprintf("%d %s", len(message), message); !strings.HasSuffix(string(b.Out), want) {
		t.Errorf("%s\nwant at its end\n%s", b.Out, want)
	}
}

func TestSyslogEncoding(t *testing.T) {
	long := strings.Repeat("p", 4000)
	tests := map[string]struct {
		host, format   string
		b              record.Batch
		app, wantHost  string
		msgs           []string
		params         map[string]string
		missing        string
		facility, prio string
		pri            int
	}{
		"plain": {
			b: record.Batch{Source: "s", Data: []byte("a\nb\r\n\nlast")}, app: "s", wantHost: "h",
			msgs: []string{"a", "b", "", "last"}, params: map[string]string{"source": "s"}, pri: 134,
		},
		"names": {
			host: "my höst", b: record.Batch{Source: strings.Repeat("ä b", 40), Data: []byte("x\n")},
			app: strings.Repeat("__b", 12), wantHost: "my_h_st", pri: 134,
			params: map[string]string{"source": strings.Repeat("ä b", 40)},
		},
		"no host": {host: "-", b: record.Batch{Source: "s", Data: []byte("x\n")}, app: "s", wantHost: "-", pri: 134},
		"to be escaped": {
			b:   record.Batch{Source: `a"b]c\d`, File: "/x\ny\xff", Gen: `g"`, From: 7, Labels: `{"a b=]":"\"q\"","source":"mine"}`, Data: []byte("x\n")},
			app: `a_b_c\d`, wantHost: "h", pri: 134,
			params: map[string]string{"source": `a"b]c\d`, "file": "/x\ny\uFFFD", "id": `g":7`, "offset": "7", "label.a_b__": `"q"`, "label.source": "mine"},
		},
		"a piece": {
			b:   record.Batch{Source: "s", Partial: &record.Partial{Piece: 3, Last: true}, Data: []byte("x]\n")},
			app: "s", wantHost: "h", msgs: []string{"x]"}, params: map[string]string{"piece": "3", "last": "true"}, pri: 134,
		},
		"text": {format: "text", b: record.Batch{Source: "s", Data: []byte("x\n")}, app: "s", wantHost: "h", msgs: []string{"s: x"}, pri: 134},
		"bytes": {
			b:   record.Batch{Source: "s", Data: []byte("\ufeff\x00\x01\xff\t \n")},
			app: "s", wantHost: "h", msgs: []string{"\ufeff\x00\x01\xff\t "}, pri: 134,
		},
		"no room for params": {
			b:   record.Batch{Source: "s", File: long, Labels: `{"a":"` + long + `","b":"short"}`, Gen: "g", Data: []byte("x\n")},
			app: "s", wantHost: "h", params: map[string]string{"label.b": "short", "id": "g:0"}, missing: "file label.a", pri: 134,
		},
		"priority": {facility: "kern", prio: "emerg", b: record.Batch{Source: "s", Data: []byte("x\n")}, app: "s", wantHost: "h"},
		"lowest":   {facility: "local7", prio: "debug", b: record.Batch{Source: "s", Data: []byte("x\n")}, app: "s", wantHost: "h", pri: 191},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			spec, host := syslogSpec("tcp://h:1"), "h"
			if test.host != "" {
				host = strings.TrimPrefix(test.host, "-")
			}
			if test.format != "" {
				spec.Format = test.format
			}
			if test.facility != "" {
				spec.Facility, spec.Severity = test.facility, test.prio
			}
			test.b.Read = hour
			all := encodedSyslog(t, spec, host, &test.b)
			for i, m := range all {
				if m.pri != test.pri || m.host != test.wantHost || m.app != test.app || m.procid != "-" || m.msgid != "-" ||
					m.id != "logcatchsys@32473" || !m.at.Equal(hour) {
					t.Errorf("%+v", m)
				}
				if test.msgs != nil && m.msg != test.msgs[i] {
					t.Errorf("message %d is %q", i, m.msg)
				}
			}
			for k, v := range test.params {
				if got := all[0].param[k]; got != v {
					t.Errorf("%s is %q, want %q", k, got, v)
				}
			}
			for _, k := range strings.Fields(test.missing) {
				if _, there := all[0].param[k]; there {
					t.Errorf("%s has no room", k)
				}
			}
			if test.msgs != nil && len(all) != len(test.msgs) {
				t.Errorf("%d messages", len(all))
			}
		})
	}
}

func TestSyslogJSON(t *testing.T) {
	spec := syslogSpec("tcp://h:1")
	spec.Format = "json"
	for i, m := range encodedSyslog(t, spec, "h", sample("web", 0, 20)) {
		var r struct {
			Message string
			Offset  int64
		}
		must(t, json.Unmarshal([]byte(m.msg), &r))
		if r.Message != fmt.Sprintf("web %08d", i) || m.param["offset"] != fmt.Sprint(r.Offset) {
			t.Errorf("%d: %s", i, m.msg)
		}
	}
}

// The longest line that the follower gives fits, whatever stands before it.
func TestSyslogLongestLine(t *testing.T) {
	for format, line := range map[string]string{
		"raw": strings.Repeat("x", syslogLine), "text": strings.Repeat("x", syslogLine), "json": strings.Repeat(`"`, syslogJSONLine),
	} {
		spec := syslogSpec("tcp://h:1")
		spec.Format = format
		if n := MaxLine(spec); n != len(line) {
			t.Errorf("%s: the longest line is %d", format, n)
		}
		for n := range 1200 {
			b := record.Batch{
				Source: "a source", File: "/" + strings.Repeat("f", n), Labels: `{"a":"` + strings.Repeat("l", n/3) + `"}`,
				Gen: strings.Repeat("0", 40), From: math.MaxInt64 - 10000, Data: []byte(line), Read: hour,
				Partial: &record.Partial{Piece: 1 << 30},
			}
			if format == "json" && n > 300 {
				break // the path stands in the message, too
			}
			encodedSyslog(t, spec, strings.Repeat("h", 255), &b)
		}
	}
}

// valid is s with U+FFFD for each byte that is not UTF-8.
func valid(s string) string { return string([]rune(s)) }

func FuzzSyslogEncode(f *testing.F) {
	f.Add("s", "h", "/var/log/x", "gen", "k", "v", []byte("a\nb"), int64(5), false)
	f.Add(`"\]`, "", "\n", "\xff", "=", `\`, []byte("\x00\x00 [x]\r\n"), int64(0), true)
	f.Fuzz(func(t *testing.T, source, host, file, gen, key, value string, data []byte, from int64, partial bool) {
		if len(source)+len(host)+len(file)+len(gen)+len(key)+len(value)+len(data) > 4000 || from < 0 {
			return
		}
		labels, err := json.Marshal(map[string]string{key: value})
		must(t, err)
		b := &record.Batch{Source: source, File: file, Gen: gen, Labels: string(labels), Data: data, From: from, Count: 1, Read: hour}
		if partial {
			b.Partial = &record.Partial{Piece: 1}
		}
		all := encodedSyslog(t, syslogSpec("tcp://h:1"), host, b)
		n := 0
		b.Each(func(offset int64, message []byte) bool {
			m := all[n]
			if m.msg != string(message) || m.param["offset"] != fmt.Sprint(offset) ||
				m.param["id"] != valid(gen)+fmt.Sprintf(":%d", offset) {
				t.Errorf("record %d: %+v", n, m)
			}
			if s, there := m.param["source"]; there && s != valid(source) {
				t.Errorf("source %q", s)
			}
			n++
			return true
		})
		if n != len(all) {
			t.Errorf("%d of %d records", len(all), n)
		}
	})
}
