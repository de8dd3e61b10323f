package peer

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// The peer takes messages, and holds them over Stop, Start and Kill.
func TestSyslog(t *testing.T) {
	p, err := New("syslog", t.TempDir())
	if errors.Is(err, ErrMissing) {
		t.Skip(err)
	}
	must(t, err)
	defer func() { must(t, p.Close()) }()
	var want string
	for i, down := range []func() error{p.Stop, p.Kill, p.Stop} {
		must(t, p.Start())
		send(t, p, fmt.Sprintf("line %d\tand more", i))
		want += fmt.Sprintf("line %d\tand more\n", i)
		var b bytes.Buffer
		for deadline := time.Now().Add(startTime); b.String() != want && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
			b.Reset()
			must(t, p.Dump(&b))
		}
		if b.String() != want {
			t.Fatalf("it holds %q, want %q", &b, want)
		}
		must(t, down())
	}
}

func send(t *testing.T, p Peer, line string) {
	t.Helper()
	_, address, _ := strings.Cut(p.Config(), "tcp://")
	address, _, _ = strings.Cut(address, "'")
	c, err := net.Dial("tcp", address)
	must(t, err)
	message := "<134>1 - h app - - - " + line
	_, err = fmt.Fprintf(c, "%d %s", len(message), message)
	must(t, err)
	must(t, c.Close())
}
