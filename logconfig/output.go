package logconfig

import (
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"
)

// An Output is one entry of outputs. What its Type does not have stays zero.
type Output struct {
	Name, Type string // Type is one of Types()
	Format     string // "text", "raw" or "json"; "" where the type has a format of its own
	Line       int    // in the file, for messages; 0 for the default output

	// Every output.
	Batch      Batch
	Timeout    time.Duration // of one request, 1ms to 1h
	Retry      Retry
	DeadLetter string // absolute path; stdout and file reject nothing and never write it

	// file
	Path    string // absolute, a template; what placeholders stand for is not made safe yet
	MaxSize int64  // bytes after which it is rotated; 0: never
	Keep    int    // rotated generations kept, at least 1
	Sync    bool   // fsync before a position is committed

	// Where to.
	Brokers   []string // kafka: host:port, at least one
	Servers   []string // nats: nats:// or tls:// URLs, at least one
	Endpoints []string // elasticsearch: http or https URLs, at least one
	URL       string   // loki, http: a http or https URL
	Endpoint  string   // otlp: host:port for grpc, a http or https URL for http
	Address   string   // syslog: tcp://host:port, tls://host:port or udp://host:port
	TLS       TLS

	// Who asks.
	Username    string // elasticsearch, loki, http: basic; nats
	Password    Secret
	APIKey      Secret // elasticsearch: the encoded form
	BearerToken Secret // loki, http
	Token       Secret // nats
	Credentials string // nats: absolute path of a .creds file
	NKey        string // nats: absolute path of a file with a seed
	SASL        SASL   // kafka
	Tenant      string // loki: X-Scope-OrgID
	Headers     []Header

	// How.
	Topic           string            // kafka: a template
	Key             string            // kafka: a template
	ExactlyOnce     bool              // kafka
	PositionsTopic  string            // kafka, with ExactlyOnce
	Subject         string            // nats: a template
	Stream          string            // nats
	CreateStream    bool              // nats
	DuplicateWindow time.Duration     // nats: of a stream that is created
	Index           string            // elasticsearch: a template
	Labels          map[string]string // loki: templates by label name
	Compression     string            // kafka: zstd lz4 snappy gzip none; otlp, http: gzip zstd none; elasticsearch, loki in json: gzip none
	Encoding        string            // loki: protobuf or json
	Protocol        string            // otlp: grpc or http
	Facility        string            // syslog: kern … ftp, local0 … local7
	Severity        string            // syslog: emerg … debug
	Method          string            // http: POST, PUT or PATCH
}

// Batch says what goes into one request, and how long a record waits for others.
type Batch struct {
	Bytes   int           // of encoded records, 1 KiB to 64 MiB; a larger record goes alone
	Records int           // 1 to 1,000,000
	Age     time.Duration // 1ms to 1h
}

// Retry says how long the pauses are between tries of what failed: from Initial
// (1ms to 1h), doubled each time, to Max (up to 24h, no shorter than Initial).
type Retry struct{ Initial, Max time.Duration }

// TLS says how the other end is verified. Its zero value is: by the system's
// certificates, where the address asks for TLS at all.
type TLS struct {
	Set                bool   // the block is there: TLS where an address does not say (kafka, otlp over grpc, nats)
	CA                 string // absolute path of PEM certificates; "": the system's
	Cert, Key          string // absolute paths of the client's own; both or none
	ServerName         string // what the certificate must be for; "": the host of the address
	InsecureSkipVerify bool
}

// SASL is how a Kafka client says who it is. Mechanism is "plain", "scram-sha-256",
// "scram-sha-512", or "" for not at all.
type SASL struct {
	Mechanism, Username string
	Password            Secret
}

// A Header is sent with every request (http, elasticsearch, loki, otlp).
type Header struct {
	Name  string // canonical, as in net/http; each once, sorted
	Value Secret
}

// Equal reports whether both mean the same, wherever they stand in the file.
func (o Output) Equal(p Output) bool {
	o.Line, p.Line = 0, 0
	return reflect.DeepEqual(o, p)
}

// Secrets are the values that must be in no message; none of them is empty.
func (o Output) Secrets() []string {
	all := []Secret{o.Password, o.APIKey, o.BearerToken, o.Token, o.SASL.Password}
	for _, h := range o.Headers {
		all = append(all, h.Value)
	}
	if _, query, _ := strings.Cut(o.URL, "?"); strings.Contains(query, "=") {
		all = append(all, Secret(query)) // some far ends want their token there
	}
	var set []string
	for _, s := range all {
		if s != "" {
			set = append(set, s.Reveal())
		}
	}
	return set
}

// A Secret is a value that is never printed: formatted, logged or encoded it is
// a word in its place.
type Secret string

const hidden = "(secret)"

// Reveal is the value itself.
func (s Secret) Reveal() string { return string(s) }

func (s Secret) String() string { return hidden }

// Format keeps every verb, also one that is wrong for text, from showing the value.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// MarshalText keeps encoders (JSON, slog) from showing the value.
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }
