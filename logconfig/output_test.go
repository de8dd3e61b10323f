package logconfig

import (
	"cmp"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// What the tables say, the decoder knows, and the other way round.
func TestTables(t *testing.T) {
	for name, c := range map[string]struct {
		table keys
		raw   reflect.Type
	}{
		"outputs": {keysOfType(""), reflect.TypeFor[rawOutput]()},
		"batch":   {blocks["batch"], reflect.TypeFor[rawBatch]()},
		"retry":   {blocks["retry"], reflect.TypeFor[rawRetry]()},
		"tls":     {blocks["tls"], reflect.TypeFor[rawTLS]()},
		"sasl":    {blocks["sasl"], reflect.TypeFor[rawSASL]()},
	} {
		decoded := keysOf(c.raw)
		slices.Sort(decoded)
		if !slices.Equal(c.table.sorted(), decoded) {
			t.Errorf("%s: in the tables\n%q, decoded\n%q", name, c.table.sorted(), decoded)
		}
	}
	if checked := slices.Sorted(maps.Keys(typeChecks)); !slices.Equal(checked, Types()) {
		t.Errorf("checked %q, types %q", checked, Types())
	}
}

func TestOutputDefaults(t *testing.T) {
	got := mustParse(t, `configpath: {a: ./a.log}
outputs:
  out: {type: stdout}
  file: {type: file, path: ./f}
  kafka: {type: kafka, brokers: 'h:9092'}
  nats: {type: nats, servers: 'nats://h'}
  es: {type: elasticsearch, endpoints: 'http://h'}
  loki: {type: loki, url: 'http://h/loki/api/v1/push'}
  json: {type: loki, url: 'http://h/loki/api/v1/push', encoding: json}
  otlp: {type: otlp, endpoint: 'h:4317'}
  sys: {type: syslog, address: 'tcp://h:514'}
  web: {type: http, url: 'http://h'}
`)
	want := []Output{
		{Name: "out", Type: "stdout", Format: "text"},
		{Name: "file", Type: "file", Format: "json", Path: abs(t, "/etc/lcs/f"), Keep: 5, Sync: true},
		{Name: "kafka", Type: "kafka", Format: "json", Brokers: []string{"h:9092"}, Topic: "logs.{source}", Key: "{source}:{file}",
			PositionsTopic: "logcatchsys-positions", Compression: "zstd"},
		{Name: "nats", Type: "nats", Format: "json", Servers: []string{"nats://h"}, Subject: "logs.{source}", DuplicateWindow: time.Hour},
		{Name: "es", Type: "elasticsearch", Endpoints: []string{"http://h"}, Index: "logs-{source}-{yyyy}.{mm}.{dd}", Compression: "gzip"},
		{Name: "loki", Type: "loki", Format: "raw", URL: "http://h/loki/api/v1/push", Labels: map[string]string{"job": "{source}"}, Encoding: "protobuf"},
		{Name: "json", Type: "loki", Format: "raw", URL: "http://h/loki/api/v1/push", Labels: map[string]string{"job": "{source}"}, Encoding: "json", Compression: "gzip"},
		{Name: "otlp", Type: "otlp", Format: "raw", Endpoint: "h:4317", Protocol: "grpc", Compression: "gzip"},
		{Name: "sys", Type: "syslog", Format: "raw", Address: "tcp://h:514", Facility: "local0", Severity: "info"},
		{Name: "web", Type: "http", Format: "json", URL: "http://h", Method: "POST", Compression: "none"},
	}
	for i, w := range want {
		w = common(w)
		w.Line = i + 3
		if w.Type != "stdout" && w.Type != "file" {
			w.DeadLetter = abs(t, "/etc/lcs/state/dead-letter-"+w.Name+".jsonl")
		}
		if !reflect.DeepEqual(got.Outputs[i], w) {
			t.Errorf("got\n%+v\nwant\n%+v", got.Outputs[i], w)
		}
	}
	if len(got.Outputs) != len(want) || len(got.Warnings) != 0 {
		t.Errorf("%d outputs, warnings %q", len(got.Outputs), got.Warnings)
	}
}

// everyKey has each key of each type at least once, %[1]s is a folder with files.
const everyKey = `configpath: {a: {path: ./a.log, labels: {env: prod}}}
state: ./s
outputs:
  out: {type: stdout, format: json, batch: {bytes: 1KiB, records: 1, age: 1ms}, timeout: 1ms, retry: {initial: 1ms, max: 2ms}, dead_letter: ./d0}
  file: {type: file, format: text, path: './{file}/{name}/{label.env}', max_size: 1KiB, keep: 7, sync: false, batch: {age: 2s}, timeout: 2s, retry: {max: 2s}, dead_letter: ./d1}
  kafka:
    {type: kafka, format: text, brokers: ['a:1', '[::1]:2'], topic: '{host}.{label.env}', key: '{name}', exactly_once: true, positions_topic: p, compression: none,
    sasl: {mechanism: plain, username: u, password: x}, tls: {ca: %[1]s/cert, cert: %[1]s/cert, key: %[1]s/key, server_name: n, insecure_skip_verify: true},
    batch: {records: 5}, timeout: 1h, retry: {initial: 1s}, dead_letter: ./d2}
  nats1:
    {type: nats, format: raw, servers: ['nats://a', 'tls://b:1'], subject: 'x.{source}', stream: S, create_stream: true, duplicate_window: 2m, username: u, password: x,
    tls: {}, batch: {}, timeout: 3s, retry: {}, dead_letter: ./d3}
  nats2: {type: nats, servers: ['nats://127.0.0.1'], token: x}
  nats3: {type: nats, servers: ['nats://a'], credentials: %[1]s/creds}
  nats4: {type: nats, servers: ['nats://a'], nkey: %[1]s/creds}
  es1:
    {type: elasticsearch, endpoints: ['https://a/es', 'https://b:9200'], index: 'l-{hh}', compression: none, username: u, password: x,
    headers: {x-b: file:%[1]s/creds, X-A: '${SIZE}'}, tls: {ca: %[1]s/cert}, batch: {bytes: 64MiB}, timeout: 4s, retry: {max: 24h}, dead_letter: ./d4}
  es2: {type: elasticsearch, endpoints: 'http://localhost:9200', api_key: 'x y'}
  loki1:
    {type: loki, format: json, url: 'https://a/push?x=y', labels: {job: 'x', Env_1: '{label.env}'}, tenant: t, encoding: json, compression: none, username: u, password: x,
    headers: {A: b}, tls: {}, batch: {}, timeout: 5s, retry: {}, dead_letter: ./d5}
  loki2: {type: loki, url: 'https://a', bearer_token: x}
  otlp1: {type: otlp, format: text, endpoint: 'https://a/x', protocol: http, compression: zstd, headers: {Authorization: x}, tls: {}, batch: {}, timeout: 6s, retry: {}, dead_letter: ./d6}
  otlp2: {type: otlp, endpoint: 'a:1', tls: {server_name: s}}
  sys: {type: syslog, format: json, address: 'tls://a:6514', facility: authpriv, severity: debug, tls: {}, batch: {}, timeout: 7s, retry: {}, dead_letter: ./d7}
  web1: {type: http, format: raw, url: 'https://a/?q=1', method: PATCH, compression: zstd, username: u, password: x, headers: {A: b}, tls: {}, batch: {}, timeout: 8s, retry: {}, dead_letter: ./d8}
  web2: {type: http, url: 'http://127.0.0.1', bearer_token: x}
`

func TestEveryOutputKey(t *testing.T) {
	dir := t.TempDir()
	cert, key := selfSigned(t)
	for name, data := range map[string][]byte{"cert": cert, "key": key, "creds": []byte("creds\n")} {
		writeFile(t, filepath.Join(dir, name), data)
	}
	yaml := fmt.Sprintf(everyKey, filepath.ToSlash(dir))
	got := mustParse(t, yaml)
	in := func(name string) string { return filepath.Join(dir, name) }
	tls := TLS{Set: true}
	want := map[string]Output{
		"out": {Format: "json", Batch: Batch{1 << 10, 1, time.Millisecond}, Timeout: time.Millisecond, Retry: Retry{time.Millisecond, 2 * time.Millisecond}, DeadLetter: "d0"},
		"file": {Format: "text", Path: abs(t, "/etc/lcs/{file}/{name}/{label.env}"), MaxSize: 1 << 10, Keep: 7,
			Batch: Batch{Age: 2 * time.Second}, Timeout: 2 * time.Second, Retry: Retry{Max: 2 * time.Second}, DeadLetter: "d1"},
		"kafka": {Format: "text", Brokers: []string{"a:1", "[::1]:2"}, Topic: "{host}.{label.env}", Key: "{name}", ExactlyOnce: true, PositionsTopic: "p", Compression: "none",
			SASL:  SASL{"plain", "u", "x"},
			TLS:   TLS{Set: true, CA: in("cert"), Cert: in("cert"), Key: in("key"), ServerName: "n", InsecureSkipVerify: true},
			Batch: Batch{Records: 5}, Timeout: time.Hour, Retry: Retry{Initial: time.Second}, DeadLetter: "d2"},
		"nats1": {Format: "raw", Servers: []string{"nats://a", "tls://b:1"}, Subject: "x.{source}", Stream: "S", CreateStream: true, DuplicateWindow: 2 * time.Minute,
			Username: "u", Password: "x", TLS: tls, Timeout: 3 * time.Second, DeadLetter: "d3"},
		"nats2": {Format: "json", Servers: []string{"nats://127.0.0.1"}, Subject: "logs.{source}", DuplicateWindow: time.Hour, Token: "x"},
		"nats3": {Format: "json", Servers: []string{"nats://a"}, Subject: "logs.{source}", DuplicateWindow: time.Hour, Credentials: in("creds")},
		"nats4": {Format: "json", Servers: []string{"nats://a"}, Subject: "logs.{source}", DuplicateWindow: time.Hour, NKey: in("creds")},
		"es1": {Endpoints: []string{"https://a/es", "https://b:9200"}, Index: "l-{hh}", Compression: "none", Username: "u", Password: "x",
			Headers: []Header{{"X-A", "64KiB"}, {"X-B", "creds"}}, TLS: TLS{Set: true, CA: in("cert")},
			Batch: Batch{Bytes: 64 << 20}, Timeout: 4 * time.Second, Retry: Retry{Max: 24 * time.Hour}, DeadLetter: "d4"},
		"es2": {Endpoints: []string{"http://localhost:9200"}, Index: "logs-{source}-{yyyy}.{mm}.{dd}", Compression: "gzip", APIKey: "x y"},
		"loki1": {Format: "json", URL: "https://a/push?x=y", Labels: map[string]string{"job": "x", "Env_1": "{label.env}"}, Tenant: "t", Encoding: "json", Compression: "none",
			Username: "u", Password: "x", Headers: []Header{{"A", "b"}}, TLS: tls, Timeout: 5 * time.Second, DeadLetter: "d5"},
		"loki2": {Format: "raw", URL: "https://a", Labels: map[string]string{"job": "{source}"}, Encoding: "protobuf", BearerToken: "x"},
		"otlp1": {Format: "text", Endpoint: "https://a/x", Protocol: "http", Compression: "zstd", Headers: []Header{{"Authorization", "x"}}, TLS: tls, Timeout: 6 * time.Second, DeadLetter: "d6"},
		"otlp2": {Format: "raw", Endpoint: "a:1", Protocol: "grpc", Compression: "gzip", TLS: TLS{Set: true, ServerName: "s"}},
		"sys":   {Format: "json", Address: "tls://a:6514", Facility: "authpriv", Severity: "debug", TLS: tls, Timeout: 7 * time.Second, DeadLetter: "d7"},
		"web1": {Format: "raw", URL: "https://a/?q=1", Method: "PATCH", Compression: "zstd", Username: "u", Password: "x", Headers: []Header{{"A", "b"}},
			TLS: tls, Timeout: 8 * time.Second, DeadLetter: "d8"},
		"web2": {Format: "json", URL: "http://127.0.0.1", Method: "POST", Compression: "none", BearerToken: "x"},
	}
	for _, o := range got.Outputs {
		w, ok := want[o.Name]
		if !ok {
			t.Errorf("output %s", o.Name)
		}
		w.Name, w.Type, w.Line = o.Name, o.Type, o.Line
		if w = completed(t, w); !reflect.DeepEqual(o, w) {
			t.Errorf("got\n%+v\nwant\n%+v", o, w)
		}
	}
	if len(got.Outputs) != len(want) {
		t.Errorf("%d outputs, want %d", len(got.Outputs), len(want))
	}
	wantAllKeys(t, yaml)
}

// completed adds the defaults that are the same for every type.
func completed(t *testing.T, o Output) Output {
	t.Helper()
	d := common(Output{})
	switch {
	case o.DeadLetter != "":
		o.DeadLetter = abs(t, "/etc/lcs/"+o.DeadLetter)
	default:
		o.DeadLetter = abs(t, "/etc/lcs/s/dead-letter-"+o.Name+".jsonl")
	}
	o.Batch.Bytes = cmp.Or(o.Batch.Bytes, d.Batch.Bytes)
	o.Batch.Records = cmp.Or(o.Batch.Records, d.Batch.Records)
	o.Batch.Age = cmp.Or(o.Batch.Age, d.Batch.Age)
	o.Timeout = cmp.Or(o.Timeout, d.Timeout)
	o.Retry.Initial = cmp.Or(o.Retry.Initial, d.Retry.Initial)
	o.Retry.Max = cmp.Or(o.Retry.Max, d.Retry.Max)
	return o
}

// wantAllKeys fails if there is a key of a type that the file does not use.
func wantAllKeys(t *testing.T, yaml string) {
	t.Helper()
	d := &document{file: "c", at: map[string]*node{}, env: func(string) (string, bool) { return "", true }}
	raw := d.decode(d.shape(d.read([]byte(yaml))))
	used := map[string]bool{}
	for i, o := range raw.Outputs {
		for key := range keysOfType(o.Type) {
			at := index("outputs", i) + "." + key
			used[o.Type+"."+key] = used[o.Type+"."+key] || d.given(at)
			for sub := range blocks[key] {
				used[key+"."+sub] = used[key+"."+sub] || d.given(at+"."+sub)
			}
		}
	}
	for key, is := range used {
		if !is {
			t.Errorf("the key %s is not tried", key)
		}
	}
	for _, name := range Types() {
		if !used[name+".type"] {
			t.Errorf("the type %s is not tried", name)
		}
	}
}

func TestOutputWarnings(t *testing.T) {
	for output, want := range map[string]string{
		"type: http, url: 'https://h', tls: {insecure_skip_verify: true}":                                               "outputs.o.tls.insecure_skip_verify: nobody verifies who is at the other end; who is between can read and change all",
		"type: http, url: 'http://h', username: u, password: p":                                                         "outputs.o.url: a secret is sent there without TLS",
		"type: http, url: 'http://h', headers: {X-Api-Key: p}":                                                          "outputs.o.url: a secret is sent there without TLS",
		"type: http, url: 'http://h', headers: {X-Team: p}":                                                             "",
		"type: http, url: 'http://127.9.9.9', bearer_token: p":                                                          "",
		"type: http, url: 'http://LocalHost', bearer_token: p":                                                          "",
		"type: http, url: 'http://[::1]:80', bearer_token: p":                                                           "",
		"type: elasticsearch, endpoints: ['http://localhost', 'https://h', 'http://h', 'http://i'], api_key: p":         "outputs.o.endpoints: a secret is sent there without TLS",
		"type: kafka, brokers: 'h:1', sasl: {mechanism: plain, username: u, password: p}":                               "outputs.o.brokers: a secret is sent there without TLS",
		"type: kafka, brokers: 'h:1', sasl: {mechanism: scram-sha-256, username: u, password: p}":                       "",
		"type: kafka, brokers: 'h:1', sasl: {mechanism: plain, username: u, password: p}, tls: {}":                      "",
		"type: nats, servers: 'nats://h', token: p":                                                                     "outputs.o.servers: a secret is sent there without TLS",
		"type: nats, servers: 'tls://h', token: p":                                                                      "",
		"type: nats, servers: 'nats://h', token: p, tls: {}":                                                            "",
		"type: nats, servers: 'nats://h', duplicate_window: 1m, create_stream: true, stream: S":                         "",
		"type: nats, servers: 'nats://h', duplicate_window: 1m":                                                         "outputs.o.duplicate_window: has no effect without create_stream: true",
		"type: otlp, endpoint: 'h:1', headers: {authorization: p}":                                                      "outputs.o.endpoint: a secret is sent there without TLS",
		"type: loki, url: 'https://h', labels: {env: '{label.env}', team: '{label.team}', again: '{host}{label.team}'}": "outputs.o: {label.team} is empty for the source a, which has no such label",
	} {
		c := mustParse(t, "configpath: {a: {path: ./a, labels: {env: x}, outputs: o}, b: {path: ./b, outputs: p}}\noutputs:\n  o: {"+output+"}\n  p: {type: stdout}\n")
		got := strings.Join(c.Warnings, "\n")
		if want != "" {
			want = "config.yaml:3: " + want
		}
		if got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", output, got, want)
		}
	}
}

// However an output is printed, its secrets are not.
func TestSecretsAreHidden(t *testing.T) {
	const word = "s3cret"
	o := Output{Password: word, APIKey: word, BearerToken: word, Token: word, SASL: SASL{Password: word}, Headers: []Header{{"A", word}}}
	var b strings.Builder
	for _, v := range []any{o, &o, []Output{o}, o.Password, &o.Password, o.Headers, map[string]Secret{"a": word}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t"} {
			fmt.Fprintf(&b, verb+"\n", v)
		}
		data, err := json.Marshal(v)
		fmt.Fprintf(&b, "%s %v\n", data, err)
		slog.New(slog.NewTextHandler(&b, nil)).Info("m", "v", v)
		slog.New(slog.NewJSONHandler(&b, nil)).Info("m", "v", v)
	}
	if got := b.String(); strings.Contains(got, word) || strings.Contains(strings.ToLower(got), fmt.Sprintf("%x", word)) {
		t.Errorf("a secret in\n%s", got)
	}
	if got := o.Secrets(); len(got) != 6 || slices.ContainsFunc(got, func(s string) bool { return s != word }) {
		t.Errorf("Secrets: %q", got)
	}
	p := o
	p.Headers = []Header{{"A", "other"}}
	if o.Equal(p) || !o.Equal(o) {
		t.Error("Equal does not look at the headers")
	}
}

func writeFile(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
