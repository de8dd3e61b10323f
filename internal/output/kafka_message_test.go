package output

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/logcatchsys/logcatchsys/internal/record"
)

// What a reader sees of a record, with each compression.
func TestKafkaMessage(t *testing.T) {
	for _, c := range []string{"zstd", "lz4", "snappy", "gzip", "none"} {
		t.Run(c, func(t *testing.T) {
			t.Parallel()
			b := newBroker(t)
			o := b.opened(func(s *Spec) {
				s.Compression, s.Topic, s.Key = c, "{label.env}/{source}.{yyyy}", "{host}:{name}"
			}, Env{})
			x := sample("web", 0, 300)
			put(t, o, x)
			settle(t, o)
			all := b.held("test_web.2026")
			if len(all) != 300 {
				t.Fatalf("%d messages", len(all))
			}
			for i, r := range all {
				offset := i * 13
				want := fmt.Sprintf("id=gen-web:%d host=h1 source=web file=/var/log/web.log offset=%d ", offset, offset)
				value := fmt.Sprintf(`{"timestamp":"2026-11-22T07:34:01.000000000Z","host":"h1","source":"web","file":"/var/log/web.log",`+
					`"offset":%d,"message":"web %08d","labels":{"env":"test"}}`, offset, i)
				if got := headersOf(r); got != want || string(r.Value) != value || string(r.Key) != "h1:web.log" || !r.Timestamp.Equal(hour) || r.Partition != all[0].Partition {
					t.Fatalf("%d: %q %q %s %s", i, got, r.Key, r.Timestamp, r.Value)
				}
			}
		})
	}
}

func headersOf(r *kgo.Record) (text string) {
	for _, h := range r.Headers {
		text += fmt.Sprintf("%s=%s ", h.Key, h.Value)
	}
	return text
}

func TestLegalTopic(t *testing.T) {
	for name, want := range map[string]string{
		"logs.web": "logs.web", "A-z_0.9": "A-z_0.9", "": "_", ".": "_", "..": "__", "a/b c:ü\x00": "a_b_c___",
		strings.Repeat("x", 300): strings.Repeat("x", 249),
	} {
		if got := legalTopic(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

// A topic that takes only small batches, and a record that is too large for it, and one
// that is too large for any.
func TestKafkaTooLarge(t *testing.T) {
	for _, once := range []bool{false, true} {
		t.Run(fmt.Sprint("once=", once), func(t *testing.T) {
			t.Parallel()
			b := newBroker(t)
			b.make("logs.a", map[string]string{"max.message.bytes": "3000"})
			dropped := map[string]int{}
			var dead string
			o := b.opened(func(s *Spec) { s.ExactlyOnce, s.Compression, dead = once, "none", s.DeadLetter },
				Env{Dropped: func(source, reason string, n int) { dropped[source+" "+reason] += n }})
			put(t, o, sample("a", 0, 50))
			for i, size := range []int{5000, largestBatch} {
				x := sample("a", 50+i, 1)
				x.Data = append([]byte(strings.Repeat("x", size)), '\n')
				put(t, o, x)
			}
			put(t, o, sample("a", 52, 50))
			settle(t, o)
			got := b.messages("a")
			want := strings.Fields(strings.ReplaceAll(numbered("a", 0, 50)+numbered("a", 52, 50), "a ", "a_"))
			if text := strings.ReplaceAll(strings.Join(got, " "), "a ", "a_"); text != strings.Join(want, " ") {
				t.Errorf("%d messages: %.2000s", len(got), text)
			}
			letters := content(t, dead)
			if strings.Count(letters, "\n") != 2 || len(dropped) != 1 || dropped["a too_large"] != 2 {
				t.Errorf("dropped %v, %d letters", dropped, strings.Count(letters, "\n"))
			}
		})
	}
}

// make makes a topic with one partition.
func (b *broker) make(topic string, configs map[string]string) {
	b.t.Helper()
	admin := b.client()
	defer admin.Close()
	set := map[string]*string{}
	for k, v := range configs {
		set[k] = &v
	}
	_, err := kadm.NewClient(admin).CreateTopic(bg, 1, 1, set, topic)
	must(b.t, err)
}

// A topic that is missing is said, and delivered to when it is there.
func TestKafkaMissingTopic(t *testing.T) {
	for _, once := range []bool{false, true} {
		t.Run(fmt.Sprint("once=", once), func(t *testing.T) {
			t.Parallel()
			c, err := kfake.NewCluster(kfake.NumBrokers(1))
			must(t, err)
			t.Cleanup(c.Close)
			b := &broker{Cluster: c, t: t}
			o := b.opened(func(s *Spec) { s.ExactlyOnce = once }, Env{})
			put(t, o, sample("a", 0, 10))
			_, err = o.Flush(bg)
			if err == nil || !strings.Contains(err.Error(), "UNKNOWN_TOPIC") || !strings.Contains(err.Error(), "logs.a") {
				t.Errorf("it says %v", err)
			}
			b.make("logs.a", nil)
			settle(t, o)
			if got := b.messages("a"); len(got) != 10 {
				t.Errorf("%d messages", len(got))
			}
		})
	}
}

// BenchmarkKafka is the way of a follower's batch to a broker in this process.
func BenchmarkKafka(b *testing.B) {
	for _, once := range []bool{false, true} {
		for _, c := range []string{"zstd", "none"} {
			b.Run(fmt.Sprintf("once=%v/%s", once, c), func(b *testing.B) {
				far := newBroker(b, kfake.SeedTopics(1, "logs.a"))
				o := far.opened(func(s *Spec) { s.ExactlyOnce, s.Compression = once, c }, Env{})
				x := sample("a", 0, 2000)
				x.Data = []byte(strings.Repeat("2026-11-22 07:34:01 INFO a line of some length, as they are in logs; request 42 took 17 ms, status 200, 1234 bytes\n", 2000))
				b.SetBytes(int64(len(x.Data)))
				b.ReportAllocs()
				n := 0
				for b.Loop() {
					o.(Encoder).Encode(x)
					must(b, o.Write(bg, x))
					if n++; n%20 == 0 {
						_, err := o.Flush(bg)
						must(b, err)
					}
				}
				_, err := o.Flush(bg)
				must(b, err)
				b.ReportMetric(float64(n*2000)/b.Elapsed().Seconds(), "lines/s")
			})
		}
	}
}

// BenchmarkKafkaClient is the limit: the client alone, from memory.
func BenchmarkKafkaClient(b *testing.B) {
	far := newBroker(b, kfake.SeedTopics(1, "logs.a"))
	f, err := record.NewMessages("json", "h1")
	must(b, err)
	x := sample("a", 0, 2000)
	x.Data = []byte(strings.Repeat("2026-11-22 07:34:01 INFO a line of some length, as they are in logs; request 42 took 17 ms, status 200, 1234 bytes\n", 2000))
	f.Encode(x)
	headers := []kgo.RecordHeader{
		{Key: "id", Value: []byte("gen-a:12345")}, {Key: "host", Value: []byte("h1")}, {Key: "source", Value: []byte("a")},
		{Key: "file", Value: []byte(x.File)}, {Key: "offset", Value: []byte("12345")},
	}
	for _, c := range []string{"zstd", "none"} {
		b.Run(c, func(b *testing.B) {
			client := far.client(kgo.ProducerBatchCompression(codecs[c]), kgo.MaxBufferedRecords(20000))
			defer client.Close()
			b.SetBytes(int64(len(x.Data)))
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				start := 0
				for _, s := range x.Spans {
					client.Produce(bg, &kgo.Record{Topic: "logs.a", Key: []byte("a"), Value: x.Out[start:s.End], Headers: headers, Timestamp: hour}, nil)
					start = s.End
				}
				n++
			}
			must(b, client.Flush(bg))
			b.ReportMetric(float64(n*2000)/b.Elapsed().Seconds(), "lines/s")
		})
	}
}
