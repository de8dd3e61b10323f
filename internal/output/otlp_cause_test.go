package output

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
)

// A gRPC port that is spoken to in HTTP/1 answers with frames.
func TestOTLPNotSpoken(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	s := grpc.NewServer()
	go s.Serve(l)
	defer s.Stop()
	address := l.Addr().String()
	spec := Spec{Name: "o", Type: "otlp", Protocol: "http", Endpoint: "http://" + address, Timeout: 5 * time.Second}
	const spoken = "the other end does not speak HTTP/1"
	for range 100 { // it closes the connection too, and what net/http notices first is said
		err := Probe(bg, spec, Env{Host: "h1", Log: quiet()}, nil)
		said, ok := strings.CutPrefix(err.Error(), "http://"+address+"/v1/logs: ")
		switch {
		case ok && strings.HasPrefix(said, spoken) && !strings.Contains(said, "\\x00"):
			return
		case !ok || strings.Contains(said, "\\x00"):
			t.Fatalf("it says %v", err)
		}
	}
	t.Error("it never says that the other end does not speak HTTP/1")
}

// A time-out says who did not answer.
func TestOTLPTimeoutNamesEndpoint(t *testing.T) {
	address := says(t, "")
	for protocol, endpoint := range map[string]string{"grpc": address, "http": "http://" + address} {
		spec := Spec{Name: "o", Type: "otlp", Protocol: protocol, Endpoint: endpoint, Timeout: 50 * time.Millisecond}
		err := Probe(bg, spec, Env{Host: "h1", Log: quiet()}, nil)
		if err == nil || !strings.HasPrefix(err.Error(), endpoint) || !strings.HasSuffix(err.Error(), ": no answer in time") {
			t.Errorf("%s: it says %v", protocol, err)
		}
	}
}
