package output

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/consumer/consumererror"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/logcatchsys/logcatchsys/logconfig"
)

// otlpRefusing refuses requests that hold one of these messages.
func otlpRefusing(err error, culprits ...string) func([]string) error {
	return func(messages []string) error {
		for _, m := range messages {
			for _, c := range culprits {
				if m == c {
					return err
				}
			}
		}
		return nil
	}
}

// otlpLetters are the messages in a dead letter, and the last reason.
func otlpLetters(t *testing.T, path string) (messages []string, reason string) {
	t.Helper()
	for line := range strings.Lines(content(t, path)) {
		var l struct{ Message, Reason string }
		if line != "(none)" {
			must(t, json.Unmarshal([]byte(line), &l))
			messages, reason = append(messages, l.Message), l.Reason
		}
	}
	return messages, reason
}

// What the far end will never take is found in its batch, and put aside; the order of
// the others stays.
func TestOTLPPoisonedRecords(t *testing.T) {
	permanent := consumererror.NewPermanent(errors.New("no sevens here"))
	for name, err := range map[string]error{
		"invalid":   status.Error(codes.InvalidArgument, "no sevens here"),
		"permanent": permanent, // INTERNAL, or 500
	} {
		for _, culprits := range [][]string{{"a 00000000"}, {"a 00000007", "a 00000042"}, {"a 00000099"}} {
			t.Run(name+" "+culprits[0], func(t *testing.T) {
				bothOTLP(t, func(t *testing.T, protocol string) {
					f := otlpCollector(t, protocol)
					f.setRefuse(otlpRefusing(err, culprits...))
					o, dead := f.opened(t, nil, Env{})
					put(t, o, sample("a", 0, 100))
					settle(t, o)
					all := strings.Split(strings.TrimSpace(numbered("a", 0, 100)), "\n")
					var want []string
					for _, m := range all {
						if !strings.Contains(strings.Join(culprits, " "), m) {
							want = append(want, m)
						}
					}
					if got := f.messages("a"); strings.Join(got, "\n") != strings.Join(want, "\n") {
						t.Errorf("got %v", got)
					}
					got, reason := otlpLetters(t, dead)
					if strings.Join(got, " ") != strings.Join(culprits, " ") || !strings.Contains(reason, "no sevens here") {
						t.Errorf("the dead letter has %v, because %q", got, reason)
					}
				})
			})
		}
	}
}

// A far end that answers everything with a failure of its own gets it all in the end.
func TestOTLPFailureOfTheFarEnd(t *testing.T) {
	bothOTLP(t, func(t *testing.T, protocol string) {
		f := otlpCollector(t, protocol)
		f.setRefuse(func([]string) error { return consumererror.NewPermanent(errors.New("the disk is gone")) })
		o, dead := f.opened(t, nil, Env{})
		put(t, o, sample("a", 0, 20))
		for range 3 * otlpTries {
			if _, err := o.Flush(bg); err == nil || !strings.Contains(err.Error(), "the disk is gone") {
				t.Fatal(err)
			}
		}
		f.setRefuse(nil)
		settle(t, o)
		if n := len(f.messages("a")); n != 20 || content(t, dead) != "(none)" {
			t.Errorf("%d messages, dead letter %s", n, content(t, dead))
		}
		// An earlier success is no proof against a record that fails alone.
		f.setRefuse(func([]string) error { return consumererror.NewPermanent(errors.New("the disk is gone")) })
		put(t, o, sample("a", 20, 1))
		for range 3 * otlpTries {
			if _, err := o.Flush(bg); err == nil {
				t.Fatal("accepted")
			}
		}
		f.setRefuse(nil)
		settle(t, o)
		if n := len(f.messages("a")); n != 21 || content(t, dead) != "(none)" {
			t.Errorf("%d messages, dead letter %s", n, content(t, dead))
		}
	})
}

// A batch that was taken in part is not sent again, and all of it is in the dead letter.
func TestOTLPPartialSuccess(t *testing.T) {
	bothOTLP(t, func(t *testing.T, protocol string) {
		f := otlpFake(t, protocol, nil)
		log, said := logged()
		dropped := map[string]int{}
		o, dead := f.opened(t, nil, Env{Log: log, Dropped: func(source, reason string, n int) { dropped[source+" "+reason] += n }})
		f.answer.PartialSuccess().SetErrorMessage("old schema")
		put(t, o, sample("a", 0, 2))
		settle(t, o)
		put(t, o, sample("a", 2, 2))
		settle(t, o)
		if strings.Count(said(), "old schema") != 1 || len(f.messages("a")) != 4 || content(t, dead) != "(none)" {
			t.Errorf("a warning: said %s, %v", said(), f.messages("a"))
		}
		f.answer.PartialSuccess().SetErrorMessage("too old")
		f.answer.PartialSuccess().SetRejectedLogRecords(1)
		put(t, o, sample("a", 4, 3))
		settle(t, o)
		got, reason := otlpLetters(t, dead)
		if len(got) != 3 || reason != "1 of 3 records rejected: too old" || len(f.logs) != 3 || dropped["a partial"] != 3 {
			t.Errorf("letters %v, %q; %d requests; dropped %v", got, reason, len(f.logs), dropped)
		}
	})
}

// Answers that are not about the records leave them where they are.
func TestOTLPAnswersThatAreNeverFinal(t *testing.T) {
	codesOf := map[string][]codes.Code{
		"grpc": {
			codes.Canceled, codes.DeadlineExceeded, codes.Aborted, codes.OutOfRange, codes.Unavailable, codes.DataLoss,
			codes.ResourceExhausted, codes.Unauthenticated, codes.PermissionDenied, codes.NotFound, codes.Unimplemented,
		},
		"http": {codes.Unauthenticated, codes.PermissionDenied, codes.NotFound, codes.ResourceExhausted},
	}
	bothOTLP(t, func(t *testing.T, protocol string) {
		for _, code := range codesOf[protocol] {
			f := otlpFake(t, protocol, nil)
			s, err := status.New(code, "token is p4ss!").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(7 * time.Second)})
			must(t, err)
			f.setRefuse(func([]string) error { return s.Err() })
			o, dead := f.opened(t, func(s *Spec) { s.Headers = []logconfig.Header{{Name: "Authorization", Value: "p4ss!"}} }, Env{})
			put(t, o, sample("a", 0, 3))
			_, err = o.Flush(bg)
			var busy *BusyError
			if !errors.As(err, &busy) || busy.After != 7*time.Second || !strings.Contains(err.Error(), "token is (secret)") {
				t.Errorf("%v: %v", code, err)
			}
			f.setRefuse(nil)
			settle(t, o)
			if len(f.messages("a")) != 3 || content(t, dead) != "(none)" {
				t.Errorf("%v: %v, dead letter %s", code, f.messages("a"), content(t, dead))
			}
		}
	})
}

// A request that is too large is halved, and a record that is too large put aside.
func TestOTLPTooLarge(t *testing.T) {
	bothOTLP(t, func(t *testing.T, protocol string) {
		f := otlpCollector(t, protocol)
		most := 4 << 20
		if protocol == "http" {
			most = 20 << 20
		}
		o, dead := f.opened(t, func(s *Spec) { s.Compression, s.Batch.Bytes = "zstd", 64<<20 }, Env{})
		large := sample("a", 0, 1)
		large.Data = append([]byte(strings.Repeat("x", most)), '\n')
		put(t, o, large)
		for n := range 30 {
			b := sample("b", n, 1)
			b.Data = append([]byte(strings.Repeat(fmt.Sprint(n%10), 1<<20)), '\n')
			put(t, o, b)
		}
		settle(t, o)
		if n := len(f.messages("b")); n != 30 {
			t.Errorf("%d records of the other source", n)
		}
		if got, reason := otlpLetters(t, dead); len(got) != 1 || len(got[0]) != most || !strings.Contains(reason, "large") {
			t.Errorf("%d letters, because %q", len(got), reason)
		}
	})
}

// A consumer that hangs is a far end that does not answer: it is said, and the
// connection is not used again.
func TestOTLPHangingConsumer(t *testing.T) {
	bothOTLP(t, func(t *testing.T, protocol string) {
		f := otlpCollector(t, protocol)
		inside, release := make(chan struct{}, 100), make(chan struct{})
		f.setRefuse(func([]string) error { inside <- struct{}{}; <-release; return errors.New("too late") })
		n := new(network)
		o, _ := f.opened(t, func(s *Spec) { s.Timeout = 50 * time.Millisecond }, Env{Dial: n.dial})
		put(t, o, sample("a", 0, 3))
		until(t, func() error {
			_, err := o.Flush(bg)
			if err == nil || !strings.Contains(err.Error(), "no answer within 50ms") {
				t.Fatal(err)
			}
			if len(inside) == 0 { // the time was over before a request was there
				return err
			}
			return nil
		})
		close(release)
		f.setRefuse(nil)
		settle(t, o) // what is answered too late is sent again
		n.mu.Lock()
		defer n.mu.Unlock()
		if len(firsts(f.messages("a"))) != 3 || n.made < 2 {
			t.Errorf("%d messages, %d connections", len(f.messages("a")), n.made)
		}
	})
}

// What is said of a connection that breaks is the same each time, and who closed it is
// in it: the log tells of an outage once.
func TestOTLPBrokenConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Write([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00")) // SETTINGS: it speaks HTTP/2
			io.ReadFull(c, make([]byte, 24))
			c.Close()
		}
	}()
	defer func() { l.Close(); <-ended }()
	f := newOTLPFar("grpc")
	f.spec.Endpoint = l.Addr().String()
	o, _ := f.opened(t, nil, Env{})
	put(t, o, sample("a", 0, 1))
	for range 5 {
		if _, err := o.Flush(bg); err == nil || err.Error() != f.spec.Endpoint+": the other end has closed the connection" {
			t.Error(err)
		}
	}
}

// A doubt ends with the records that began it, also if the last of them is refused for
// itself: it says nothing about a far end that is down later.
func TestOTLPDoubtIsOver(t *testing.T) {
	bothOTLP(t, func(t *testing.T, protocol string) {
		f := otlpCollector(t, protocol)
		f.setRefuse(func(messages []string) error {
			switch {
			case len(messages) > 1:
				return consumererror.NewPermanent(errors.New("not together"))
			case messages[0] == "a 00000001":
				return status.Error(codes.InvalidArgument, "no ones here")
			}
			return nil
		})
		o, dead := f.opened(t, nil, Env{})
		put(t, o, sample("a", 0, 2))
		settle(t, o)
		f.setRefuse(func([]string) error { return consumererror.NewPermanent(errors.New("the disk is gone")) })
		put(t, o, sample("a", 2, 1))
		for range 3 * otlpTries {
			if _, err := o.Flush(bg); err == nil {
				t.Fatal("given up")
			}
		}
		f.setRefuse(nil)
		settle(t, o)
		if letters, _ := otlpLetters(t, dead); len(f.messages("a")) != 2 || len(letters) != 1 {
			t.Errorf("messages %v, letters %v", f.messages("a"), letters)
		}
	})
}
