package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/nats-io/nats.go"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/logcatchsys/logcatchsys/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Each counts what it was given, and what it is not to count it does not.
func TestFarEndsCount(t *testing.T) {
	for kind, test := range map[string]struct {
		send func(t *testing.T, addr string)
		want string
	}{
		"http":  {sendHTTP, "3 "},
		"kafka": {sendKafka, "3 "},
		"nats":  {sendNATS, "2 "},

		"kafka-memory": {sendKafka, "3 "},
	} {
		t.Run(kind, func(t *testing.T) {
			in, ask := io.Pipe()
			said, out := io.Pipe()
			ended := make(chan error, 1)
			go func() {
				ended <- serve(kind, t.TempDir(), in, out)
				out.Close()
			}()
			var addr, rest strings.Builder
			one := make([]byte, 1)
			for !strings.HasSuffix(addr.String(), "\n") {
				_, err := said.Read(one)
				must(t, err)
				addr.Write(one)
			}
			test.send(t, strings.TrimSpace(addr.String()))
			must(t, ask.Close())
			_, err := io.Copy(&rest, said)
			must(t, err)
			must(t, <-ended)
			if !strings.HasPrefix(rest.String(), test.want) || strings.HasSuffix(rest.String(), " 0\n") {
				t.Errorf("got %q, want %q", rest.String(), test.want)
			}
		})
	}
}

func sendHTTP(t *testing.T, addr string) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	fmt.Fprint(z, "three\n")
	must(t, z.Close())
	client := http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for _, test := range []struct {
		encoding, body string
		status         int
	}{
		{"", "{\"message\":\"one\"}\n{\"message\":\"two\"}\n", http.StatusNoContent},
		{"gzip", packed.String(), http.StatusNoContent},
		{"gzip", "not at all\n", http.StatusBadRequest},
		{"br", packed.String(), http.StatusBadRequest},
	} {
		q, err := http.NewRequest(http.MethodPost, "http://"+addr+"/", strings.NewReader(test.body))
		must(t, err)
		if test.encoding != "" {
			q.Header.Set("Content-Encoding", test.encoding)
		}
		r, err := client.Do(q)
		must(t, err)
		must(t, r.Body.Close())
		if r.StatusCode != test.status {
			t.Errorf("%s: %s", test.encoding, r.Status)
		}
	}
}

// What goes to another topic is not counted.
func sendKafka(t *testing.T, addr string) {
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.AllowAutoTopicCreation())
	must(t, err)
	defer client.Close()
	for _, to := range []string{topic, "positions", topic, topic} {
		must(t, client.ProduceSync(context.Background(), &kgo.Record{Topic: to, Value: []byte("v")}).FirstErr())
	}
}

// What comes again under the same id is not counted.
func sendNATS(t *testing.T, addr string) {
	conn, err := nats.Connect("nats://" + addr)
	must(t, err)
	defer conn.Close()
	for _, id := range []string{"1", "2", "2"} {
		m := nats.NewMsg("logs.bench")
		m.Header.Set(nats.MsgIdHdr, id)
		_, err := conn.RequestMsg(m, natsWait)
		must(t, err)
	}
}
