package logconfig

import (
	"regexp"
	"strings"
	"time"
	"unicode"
)

// typeChecks check what only outputs of one type have.
var typeChecks = map[string]func(*outputCheck){
	"stdout":        func(*outputCheck) {},
	"file":          (*outputCheck).checkFileOutput,
	"kafka":         (*outputCheck).checkKafka,
	"nats":          (*outputCheck).checkNATS,
	"elasticsearch": (*outputCheck).checkElasticsearch,
	"loki":          (*outputCheck).checkLoki,
	"otlp":          (*outputCheck).checkOTLP,
	"syslog":        (*outputCheck).checkSyslog,
	"http":          (*outputCheck).checkHTTPOutput,
}

func (c *outputCheck) checkFileOutput() {
	within(c.d, c.at+".keep", c.raw.Keep, 1, 100_000)
	if c.raw.MaxSize != 0 {
		within(c.d, c.at+".max_size", c.raw.MaxSize, 1<<10, maxBytes)
	}
	path := c.at + ".path"
	if c.given("path") && c.d.checkFile(path, c.raw.Path) && c.d.checkTemplate(c.d.at[path], c.raw.Path) {
		c.o.Path = resolve(c.folder, c.raw.Path)
	}
}

// kafkaName is what Kafka allows in the name of a topic.
var kafkaName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

const kafkaWant = "letters, digits, '.', '_' and '-', at most 249"

func (c *outputCheck) checkKafka() {
	c.checkPlain(c.addresses("brokers", c.raw.Brokers, func(n *node, v string) (address, bool) {
		return c.d.checkHostPort(n, v, "127.0.0.1:9092")
	}))
	if c.template("topic", c.raw.Topic) && !isTopic(filled(c.raw.Topic)) {
		c.d.want(c.node("topic"), kafkaWant)
	}
	c.template("key", c.raw.Key)
	if c.text("positions_topic", c.raw.PositionsTopic) && !isTopic(c.raw.PositionsTopic) {
		c.d.want(c.node("positions_topic"), kafkaWant)
	}
	if c.raw.ExactlyOnce && c.raw.PositionsTopic == c.raw.Topic {
		n := c.node("positions_topic")
		if n == nil {
			n = c.node("topic")
		}
		c.d.fail(n, "topic and positions_topic are the same")
	}
}

func isTopic(s string) bool { return kafkaName.MatchString(s) && s != "." && s != ".." }

func (c *outputCheck) checkNATS() {
	c.checkPlain(c.urls("servers", c.raw.Servers, natsURL))
	if c.template("subject", c.raw.Subject) && !isSubject(filled(c.raw.Subject)) {
		c.d.want(c.node("subject"), "words between dots, without blanks and wildcards")
	}
	if c.text("stream", c.raw.Stream) && (!isSubject(c.raw.Stream) || strings.ContainsAny(c.raw.Stream, `./\`)) {
		c.d.want(c.node("stream"), `a name without blanks, wildcards, '.', '/' and '\'`)
	}
	within(c.d, c.at+".duplicate_window", c.raw.DuplicateWindow, time.Second, 30*24*time.Hour)
	switch {
	case c.raw.CreateStream && !c.given("stream"):
		c.d.fail(c.node("create_stream"), "wants the key stream too")
	case !c.raw.CreateStream && c.given("duplicate_window"):
		c.d.warn(c.node("duplicate_window"), "has no effect without create_stream: true")
	}
}

// isSubject reports whether s can be the subject of a message.
func isSubject(s string) bool {
	for word := range strings.SplitSeq(s, ".") {
		if word == "" {
			return false
		}
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r == '*' || r == '>' || unicode.IsSpace(r) || unicode.IsControl(r)
	})
}

func (c *outputCheck) checkElasticsearch() {
	c.checkPlain(c.urls("endpoints", c.raw.Endpoints, webBase))
	if c.template("index", c.raw.Index) {
		if name := filled(c.raw.Index); strings.ContainsAny(name, "\\/*?\"<>| ,#:") || strings.ContainsAny(name[:1], "-_+.") {
			c.d.want(c.node("index"), `a name without \ / * ? " < > | , # : and blanks that begins with none of - _ + .`)
		}
	}
}

// maxLabels bounds the labels of a stream, as Loki does by default.
const maxLabels = 15

// labelName is what Loki allows, as Prometheus does; what begins with __ is theirs.
var labelName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

func (c *outputCheck) checkLoki() {
	c.checkPlain(c.urls("url", []string{c.raw.URL}, webURL))
	c.d.oneOf(c.at+".encoding", c.raw.Encoding, encodings...)
	switch {
	case c.raw.Encoding == "json" && !c.given("compression"):
		c.o.Compression = "gzip"
	case c.raw.Encoding == "protobuf" && c.given("compression"):
		c.d.fail(c.node("compression"), "is for encoding json only: protobuf has a compression of its own")
	}
	c.text("tenant", c.raw.Tenant)
	if !c.given("labels") {
		return
	}
	if len(c.raw.Labels) > maxLabels {
		c.d.fail(c.node("labels"), "%d labels; at most %d", len(c.raw.Labels), maxLabels)
	}
	for i, l := range c.raw.Labels {
		at := index("labels", i)
		if n := c.node(at); !labelName.MatchString(l.Name) || strings.HasPrefix(l.Name, "__") {
			c.d.fail(n, "is no name of a label: letters, digits and _, no digit and no __ at the beginning")
		}
		c.template(at, l.Value)
	}
}

func (c *outputCheck) checkOTLP() {
	c.d.oneOf(c.at+".protocol", c.raw.Protocol, protocols...)
	if c.raw.Protocol == "http" {
		c.checkPlain(c.urls("endpoint", []string{c.raw.Endpoint}, webBase))
		return
	}
	c.checkPlain(c.addresses("endpoint", []string{c.raw.Endpoint}, func(n *node, v string) (address, bool) {
		if strings.Contains(v, "://") {
			c.d.wantAddress(n, "host:port such as 127.0.0.1:4317; a URL is for protocol: http")
			return address{}, false
		}
		return c.d.checkHostPort(n, v, "127.0.0.1:4317")
	}))
}

func (c *outputCheck) checkSyslog() {
	c.checkPlain(c.urls("address", []string{c.raw.Address}, syslogAddr))
	c.d.oneOf(c.at+".facility", c.raw.Facility, facilities...)
	c.d.oneOf(c.at+".severity", c.raw.Severity, severities...)
}

func (c *outputCheck) checkHTTPOutput() {
	c.checkPlain(c.urls("url", []string{c.raw.URL}, webURL))
	c.d.oneOf(c.at+".method", c.raw.Method, methods...)
}

// urls returns what the URLs of a key address.
func (c *outputCheck) urls(key string, values []string, rule urlRule) []address {
	return c.addresses(key, values, func(n *node, v string) (address, bool) { return c.d.checkURL(n, v, rule) })
}

// addresses returns what the values of a key address, as far as they are right.
func (c *outputCheck) addresses(key string, values []string, check func(*node, string) (address, bool)) []address {
	n := c.node(key)
	if n == nil || n.bad {
		return nil
	}
	if n.kind == list && len(values) == 0 {
		c.d.fail(n, "names none")
	}
	var all []address
	for i, v := range values {
		if a, ok := check(c.d.find(index(c.at+"."+key, i)), v); ok {
			all = append(all, a)
		}
	}
	return all
}

// template reports whether the key is given and a good template.
func (c *outputCheck) template(key, value string) bool {
	return c.text(key, value) && c.d.checkTemplate(c.node(key), value)
}
