package output

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/logcatchsys/logcatchsys/internal/record"
	"github.com/logcatchsys/logcatchsys/logconfig"
)

// The collector's own decoder reads every message that a line can hold, also around
// records that are settled already.
func FuzzOTLPRequest(f *testing.F) {
	f.Add([]byte("a line\nanother"), "/var/log/a", "gen", int64(0), uint16(0))
	f.Add([]byte("\xff\xc3\xa9\xed\xa0\x80\n\n\r\n\x00\x00zero\n"), "/\xff", "g", int64(1)<<62, uint16(5))
	f.Fuzz(func(t *testing.T, data []byte, file, gen string, from int64, settled uint16) {
		if from < 0 || from > 1<<62 || strings.ToValidUTF8(gen, "") != gen {
			return
		}
		b := &record.Batch{Source: "s", File: file, Gen: gen, From: from, Data: data, Read: hour, Labels: `{"k":"v"}`}
		o := &otlpOutput{form: newOTLPForm("h")}
		o.Encode(b)
		var p parcel
		p.add(b)
		p.add(b)
		var want []string
		for i := range p.items {
			origin, n := p.origin(i)
			if p.items[i].settled = settled>>(i%16)&1 != 0; p.items[i].settled {
				continue
			}
			origin.Each(func(_ int64, message []byte) bool {
				if n--; n < 0 {
					want = append(want, string([]rune(string(message))))
				}
				return n >= 0
			})
		}
		request := o.form.appendRequest(nil, &request{parcel: &p, to: len(p.items)})
		q := plogotlp.NewExportRequest()
		if err := q.UnmarshalProto(request); err != nil {
			t.Fatal(err)
		}
		if got := bodiesOf(q.Logs(), "s"); strings.Join(got, "\n") != strings.Join(want, "\n") || len(got) != len(want) {
			t.Errorf("got %q, want %q", got, want)
		}
		for _, l := range recordsOf(q.Logs()) {
			offset, _ := l.Attributes().Get("log.offset")
			id, _ := l.Attributes().Get("log.record.uid")
			path, _ := l.Attributes().Get("log.file.path")
			if id.Str() != fmt.Sprint(gen, ":", offset.Int()) || path.Str() != string([]rune(file)) || l.ObservedTimestamp().AsTime() != hour {
				t.Errorf("attributes %v", l.Attributes().AsRaw())
			}
		}
	})
}

func FuzzOTLPAnswer(f *testing.F) {
	f.Add([]byte{}, int64(1), "why")
	f.Add([]byte("\x0a\x04\x08\x01\x12\x00"), int64(-1), "")
	f.Add([]byte("\x0a\x7f"), int64(1)<<60, "\xff")
	f.Fuzz(func(t *testing.T, body []byte, rejected int64, message string) {
		if p, err := parseOTLPAnswer(body); err == nil {
			theirs := plogotlp.NewExportResponse()
			if theirs.UnmarshalProto(body) == nil && !bytes.Contains(body[min(1, len(body)):], []byte{0x0a}) &&
				p.rejected != theirs.PartialSuccess().RejectedLogRecords() {
				t.Errorf("%x: %+v", body, p)
			}
		}
		_, _ = parseOTLPStatus(body)
		if d, err := parseRetryInfo(body); err == nil && (d < 0 || d > longestBusy) {
			t.Errorf("%x: a delay of %v", body, d)
		}
		r := plogotlp.NewExportResponse()
		r.PartialSuccess().SetRejectedLogRecords(rejected)
		r.PartialSuccess().SetErrorMessage(message)
		encoded, err := r.MarshalProto()
		must(t, err)
		if p, err := parseOTLPAnswer(encoded); err != nil || p.rejected != rejected || p.message != message {
			t.Errorf("%d %q: %+v, %v", rejected, message, p, err)
		}
	})
}

func TestParseOTLPDetails(t *testing.T) {
	text, err := proto.Marshal(&spb.Status{Code: 3, Message: "bad"})
	must(t, err)
	if message, err := parseOTLPStatus(text); err != nil || message != "bad" {
		t.Errorf("%q, %v", message, err)
	}
	for delay, want := range map[time.Duration]time.Duration{
		1500 * time.Millisecond: 1500 * time.Millisecond, -time.Second: 0, 100 * time.Hour: longestBusy,
	} {
		text, err := proto.Marshal(&errdetails.RetryInfo{RetryDelay: durationpb.New(delay)})
		must(t, err)
		if got, err := parseRetryInfo(text); err != nil || got != want {
			t.Errorf("%v: %v, %v", delay, got, err)
		}
	}
}

func TestOTLPEncodeAllocatesNothing(t *testing.T) {
	o := &otlpOutput{form: newOTLPForm("h")}
	b := sample("web", 0, 100)
	b.Data = append(b.Data, "\xff not UTF-8\n"...)
	o.Encode(b)
	if n := testing.AllocsPerRun(10, func() { o.Encode(b) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkOTLPEncode(b *testing.B) {
	o := &otlpOutput{form: newOTLPForm("h")}
	batch := sample("web", 0, 2000)
	batch.Data = []byte(strings.Repeat(benchLine, 2000))
	b.SetBytes(int64(len(batch.Data)))
	b.ReportAllocs()
	for b.Loop() {
		o.Encode(batch)
	}
}

const benchLine = `127.0.0.1 - - [22/Nov/2026:07:34:01 +0000] "GET /index.html HTTP/1.1" 200 5316 "-" "Mozilla/5.0"` + "\n"

// BenchmarkOTLP is the way of 2000 lines to a far end that reads and forgets them.
func BenchmarkOTLP(b *testing.B) {
	for _, protocol := range []string{"grpc", "http"} {
		for _, compression := range []string{"none", "gzip", "zstd"} {
			b.Run(protocol+" "+compression, func(b *testing.B) {
				f := otlpSink(b, protocol)
				o, _ := f.opened(b, func(s *Spec) {
					s.Compression, s.Batch = compression, logconfig.Batch{Bytes: 1 << 20, Records: 10000}
				}, Env{})
				batch := sample("web", 0, 2000)
				batch.Data = []byte(strings.Repeat(benchLine, 2000))
				b.SetBytes(int64(len(batch.Data)))
				b.ReportAllocs()
				for b.Loop() {
					o.(Encoder).Encode(batch)
					must(b, o.Write(bg, batch))
					_, err := o.Flush(bg)
					must(b, err)
				}
				b.ReportMetric(float64(2000*b.N)/b.Elapsed().Seconds(), "lines/s")
			})
		}
	}
}

// otlpSink is a far end that accepts everything without a look at it.
func otlpSink(b *testing.B, protocol string) *otlpFar {
	f := newOTLPFar(protocol)
	if protocol == "http" {
		s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
			_, _ = io.Copy(io.Discard, q.Body)
		}))
		b.Cleanup(s.Close)
		f.spec.Endpoint = s.URL
		return f
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(b, err)
	s := grpc.NewServer(grpc.ForceServerCodecV2(otlpCodec{}), grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
		var body []byte
		if err := s.RecvMsg(&body); err != nil {
			return err
		}
		return s.SendMsg([]byte{})
	}))
	ended := make(chan error)
	go func() { ended <- s.Serve(l) }()
	b.Cleanup(func() { s.Stop(); must(b, <-ended) })
	f.spec.Endpoint = l.Addr().String()
	return f
}
