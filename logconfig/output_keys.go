package logconfig

import (
	"maps"
	"slices"
)

// keys are the keys of a map of the file with their defaults, written as in a
// file; nil: there is none.
type keys map[string]any

// required is the default of a key that must be there.
type required struct{}

// must is what stands for a required key in a table.
var must = required{}

// sorted returns the keys in alphabetical order.
func (k keys) sorted() []string { return slices.Sorted(maps.Keys(k)) }

// everyOutput are the keys that an output of any type has.
var everyOutput = keys{"type": must, "batch": keys{}, "timeout": "30s", "retry": keys{}, "dead_letter": nil}

// outputTypes are the keys of each type, besides those of everyOutput. A new key is
// one word here, a field of rawOutput, and its check; a new type one entry.
var outputTypes = map[string]keys{
	"stdout": {"format": "text"},
	"file":   {"format": "json", "path": must, "max_size": "0", "keep": "5", "sync": "true"},
	"kafka": {
		"format": "json", "brokers": must, "topic": "logs.{source}", "key": "{source}:{file}",
		"exactly_once": "false", "positions_topic": "logcatchsys-positions", "compression": "zstd",
		"sasl": nil, "tls": nil,
	},
	"nats": {
		"format": "json", "servers": must, "subject": "logs.{source}", "stream": nil, "create_stream": "false",
		"duplicate_window": "1h", "username": nil, "password": nil, "token": nil, "credentials": nil, "nkey": nil, "tls": nil,
	},
	"elasticsearch": {
		"endpoints": must, "index": "logs-{source}-{yyyy}.{mm}.{dd}", "compression": "gzip",
		"username": nil, "password": nil, "api_key": nil, "headers": nil, "tls": nil,
	},
	"loki": {
		"format": "raw", "url": must, "labels": []any{map[string]any{"name": "job", "value": "{source}"}},
		"tenant": nil, "encoding": "protobuf", "compression": nil,
		"username": nil, "password": nil, "bearer_token": nil, "headers": nil, "tls": nil,
	},
	"otlp":   {"format": "raw", "endpoint": must, "protocol": "grpc", "compression": "gzip", "headers": nil, "tls": nil},
	"syslog": {"format": "raw", "address": must, "facility": "local0", "severity": "info", "tls": nil},
	"http": {
		"format": "json", "url": must, "method": "POST", "compression": "none",
		"username": nil, "password": nil, "bearer_token": nil, "headers": nil, "tls": nil,
	},
}

// blocks are the keys whose values are maps of further keys.
var blocks = map[string]keys{
	"batch": {"bytes": "1MiB", "records": "10000", "age": "1s"},
	"retry": {"initial": "100ms", "max": "30s"},
	"tls":   {"ca": nil, "cert": nil, "key": nil, "server_name": nil, "insecure_skip_verify": "false"},
	"sasl":  {"mechanism": must, "username": must, "password": must},
}

// What the values of some keys may be.
var (
	formats     = []string{"json", "raw", "text"}
	protocols   = []string{"grpc", "http"}
	encodings   = []string{"protobuf", "json"}
	methods     = []string{"POST", "PUT", "PATCH"}
	mechanisms  = []string{"plain", "scram-sha-256", "scram-sha-512"}
	compression = map[string][]string{ // what the far ends of that type can undo
		"kafka":         {"zstd", "lz4", "snappy", "gzip", "none"},
		"elasticsearch": {"gzip", "none"},
		"loki":          {"gzip", "none"},
		"otlp":          {"gzip", "zstd", "none"},
		"http":          {"gzip", "zstd", "none"},
	}
	// The names that syslog(3) has for what RFC 5424, section 6.2.1 numbers.
	facilities = []string{
		"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
		"local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
	}
	severities = []string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}
)

// Types returns the types that an output can have, sorted.
func Types() []string { return slices.Sorted(maps.Keys(outputTypes)) }

// keysOfType returns all keys of a type with their defaults, or, if there is no
// such type, those of any type without.
func keysOfType(name string) keys {
	all := maps.Clone(everyOutput)
	own, known := outputTypes[name]
	if known {
		maps.Copy(all, own)
		return all
	}
	for _, of := range outputTypes {
		for key := range of {
			all[key] = nil
		}
	}
	return all
}

// typesWith returns the types that have the key.
func typesWith(key string) []string {
	var with []string
	for _, t := range Types() {
		if _, ok := outputTypes[t][key]; ok {
			with = append(with, t)
		}
	}
	return with
}
