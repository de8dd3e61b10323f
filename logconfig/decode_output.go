package logconfig

import "time"

// What viper decodes an output into: the keys of all types (see outputTypes), each
// as it is written; what it means, the checks say.
type (
	rawOutput struct {
		Type, Format string
		Batch        rawBatch
		Timeout      time.Duration
		Retry        rawRetry
		DeadLetter   string `mapstructure:"dead_letter"`
		TLS          rawTLS

		Path    string
		MaxSize size `mapstructure:"max_size"`
		Keep    int
		Sync    bool

		Brokers, Servers, Endpoints []string
		URL, Endpoint, Address      string

		Username, Password string
		APIKey             string `mapstructure:"api_key"`
		BearerToken        string `mapstructure:"bearer_token"`
		Token              string
		Credentials, NKey  string
		SASL               rawSASL
		Tenant             string
		Headers, Labels    []rawLabel

		Topic, Key            string
		ExactlyOnce           bool   `mapstructure:"exactly_once"`
		PositionsTopic        string `mapstructure:"positions_topic"`
		Subject, Stream       string
		CreateStream          bool          `mapstructure:"create_stream"`
		DuplicateWindow       time.Duration `mapstructure:"duplicate_window"`
		Index                 string
		Compression, Encoding string
		Protocol              string
		Facility, Severity    string
		Method                string
		Rest                  map[string]any `mapstructure:",remain"`
	}
	rawBatch struct {
		Bytes   size
		Records int
		Age     time.Duration
		Rest    map[string]any `mapstructure:",remain"`
	}
	rawRetry struct {
		Initial, Max time.Duration
		Rest         map[string]any `mapstructure:",remain"`
	}
	rawTLS struct {
		CA, Cert, Key      string
		ServerName         string         `mapstructure:"server_name"`
		InsecureSkipVerify bool           `mapstructure:"insecure_skip_verify"`
		Rest               map[string]any `mapstructure:",remain"`
	}
	rawSASL struct {
		Mechanism, Username, Password string
		Rest                          map[string]any `mapstructure:",remain"`
	}
)

// output is what the file says, before the checks.
func (raw *rawOutput) output(n *node) Output {
	o := Output{
		Name: n.name, Type: raw.Type, Format: raw.Format, Line: n.line,
		Batch:   Batch{Bytes: int(raw.Batch.Bytes), Records: raw.Batch.Records, Age: raw.Batch.Age},
		Timeout: raw.Timeout, Retry: Retry{Initial: raw.Retry.Initial, Max: raw.Retry.Max},
		MaxSize: int64(raw.MaxSize), Keep: raw.Keep, Sync: raw.Sync,
		Brokers: raw.Brokers, Servers: raw.Servers, Endpoints: raw.Endpoints,
		URL: raw.URL, Endpoint: raw.Endpoint, Address: raw.Address,
		Username: raw.Username, Tenant: raw.Tenant,
		Topic: raw.Topic, Key: raw.Key, ExactlyOnce: raw.ExactlyOnce, PositionsTopic: raw.PositionsTopic,
		Subject: raw.Subject, Stream: raw.Stream, CreateStream: raw.CreateStream, DuplicateWindow: raw.DuplicateWindow,
		Index: raw.Index, Compression: raw.Compression, Encoding: raw.Encoding, Protocol: raw.Protocol,
		Facility: raw.Facility, Severity: raw.Severity, Method: raw.Method,
	}
	for _, l := range raw.Labels {
		if o.Labels == nil {
			o.Labels = make(map[string]string, len(raw.Labels))
		}
		o.Labels[l.Name] = l.Value
	}
	return o
}
