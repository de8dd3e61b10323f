package logconfig

import (
	"crypto/tls"
	"crypto/x509"
	"net/textproto"
	"slices"
	"strings"
)

// maxPEM bounds the files of certificates and keys. The system's own bundle has 250 KiB.
const maxPEM = size(4 << 20)

// checkTLS takes the tls block and remarks on one that verifies nothing.
func (c *outputCheck) checkTLS() {
	if !c.given("tls") || !c.has("tls") {
		return
	}
	t := TLS{Set: true, ServerName: c.raw.TLS.ServerName, InsecureSkipVerify: c.raw.TLS.InsecureSkipVerify}
	ca := c.readFile("tls.ca", c.raw.TLS.CA, &t.CA, maxPEM)
	cert := c.readFile("tls.cert", c.raw.TLS.Cert, &t.Cert, maxPEM)
	key := c.readFile("tls.key", c.raw.TLS.Key, &t.Key, maxPEM)
	if ca != nil && !x509.NewCertPool().AppendCertsFromPEM(ca) {
		c.d.fail(c.node("tls.ca"), "the file holds no certificate in PEM form")
	}
	switch {
	case !c.together("tls.cert", "tls.key"):
	case cert != nil && key != nil:
		if _, err := tls.X509KeyPair(cert, key); err != nil {
			c.d.fail(c.node("tls.cert"), "with its key: %s", strings.TrimPrefix(err.Error(), "tls: "))
		}
	}
	if c.text("tls.server_name", t.ServerName) && !isHost(t.ServerName) {
		c.d.want(c.node("tls.server_name"), "the name of a host")
	}
	if t.InsecureSkipVerify {
		c.d.warn(c.node("tls.insecure_skip_verify"), "nobody verifies who is at the other end; who is between can read and change all")
	}
	c.o.TLS = t
}

// readFile makes the path absolute and returns the content of the file, nil if
// there is none or it was reported.
func (c *outputCheck) readFile(key, path string, abs *string, most size) []byte {
	if !c.given(key) || !c.d.checkFile(c.at+"."+key, path) {
		return nil
	}
	*abs = resolve(c.folder, path)
	data, err := readLimited(*abs, most)
	if err != nil {
		c.d.fail(c.node(key), "the file %s %s", quote(c.node(key).raw), unreadable(err))
		return nil
	}
	return data
}

// checkSecrets resolves the secrets, and checks that there is at most one way to
// say who asks.
func (c *outputCheck) checkSecrets() {
	c.o.Password = c.secret(c.at+".password", c.raw.Password)
	c.o.APIKey = c.secret(c.at+".api_key", c.raw.APIKey)
	c.o.BearerToken = c.secret(c.at+".bearer_token", c.raw.BearerToken)
	c.o.Token = c.secret(c.at+".token", c.raw.Token)
	c.readFile("credentials", c.raw.Credentials, &c.o.Credentials, maxSecret)
	c.readFile("nkey", c.raw.NKey, &c.o.NKey, maxSecret)
	c.checkHeaders()
	if c.text("username", c.raw.Username) && c.o.Type != "nats" && strings.Contains(c.raw.Username, ":") {
		c.d.fail(c.node("username"), "holds a :, which ends a user name in HTTP")
	}
	c.together("username", "password")
	c.checkWays()
	c.checkSASL()
}

// together reports whether both keys are given, or none.
func (c *outputCheck) together(a, b string) bool {
	switch {
	case c.given(a) && !c.given(b):
	case c.given(b) && !c.given(a):
		a, b = b, a
	default:
		return true
	}
	c.d.fail(c.node(a), "wants the key %s too", b[strings.LastIndexByte(b, '.')+1:])
	return false
}

// checkWays notes a second way to say who asks.
func (c *outputCheck) checkWays() {
	first := ""
	for _, key := range []string{"username", "api_key", "bearer_token", "token", "credentials", "nkey"} {
		switch {
		case !c.given(key) || !c.has(key):
		case first != "":
			c.d.fail(c.node(key), "is a second way to say who asks, besides %s", first)
		default:
			first = key
		}
	}
	for i, h := range c.raw.Headers {
		if first != "" && strings.EqualFold(h.Name, "Authorization") {
			c.d.fail(c.d.at[index(c.at+".headers", i)], "is a second way to say who asks, besides %s", first)
		}
	}
}

func (c *outputCheck) checkSASL() {
	if !c.given("sasl") || !c.has("sasl") || c.node("sasl").bad {
		return
	}
	c.missing("sasl", blocks["sasl"])
	mechanism := strings.ToLower(c.raw.SASL.Mechanism) // Kafka writes SCRAM-SHA-512
	c.d.oneOf(c.at+".sasl.mechanism", mechanism, mechanisms...)
	c.text("sasl.username", c.raw.SASL.Username)
	c.o.SASL = SASL{
		Mechanism: mechanism, Username: c.raw.SASL.Username,
		Password: c.secret(c.at+".sasl.password", c.raw.SASL.Password),
	}
}

// ownHeaders are what a request says about itself.
var ownHeaders = []string{
	"Connection", "Content-Encoding", "Content-Length", "Host", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// checkHeaders takes the headers, sorted by name: their order means nothing.
func (c *outputCheck) checkHeaders() {
	seen := map[string]*node{}
	for i, raw := range c.raw.Headers {
		at := index(c.at+".headers", i)
		n := c.d.at[at]
		name := textproto.CanonicalMIMEHeaderKey(raw.Name)
		h := Header{Name: name}
		switch {
		case n.bad:
		case !isHeader(raw.Name):
			c.d.fail(n, "is no name of a header")
		case seen[name] != nil:
			c.d.fail(n, "is there twice, first on line %d as %s", seen[name].line, seen[name].name)
		case c.reserved(name):
			c.d.fail(n, "is a header that the output itself sets")
		default:
			h.Value = c.secret(at, raw.Value)
			if c.o.Type == "otlp" && strings.ContainsFunc(h.Value.Reveal(), func(r rune) bool { return r > '~' }) {
				c.d.fail(n, "holds what is not ASCII")
			}
		}
		seen[name] = n
		c.o.Headers = append(c.o.Headers, h)
	}
	slices.SortFunc(c.o.Headers, func(a, b Header) int { return strings.Compare(a.Name, b.Name) })
}

// reserved reports whether the output itself sets that header.
func (c *outputCheck) reserved(name string) bool {
	switch {
	case slices.Contains(ownHeaders, name):
		return true
	case c.o.Type == "otlp":
		return name == "Content-Type" || strings.HasPrefix(name, "Grpc-")
	case c.o.Type == "loki":
		return name == "Content-Type" || name == "X-Scope-Orgid" && c.given("tenant")
	}
	return c.o.Type == "elasticsearch" && name == "Content-Type"
}

// isHeader reports whether s is a token of RFC 9110, section 5.6.2.
func isHeader(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}

// tells are parts of the names of headers whose values say who asks.
var tells = []string{"auth", "token", "key", "secret", "cookie"}

// sendsSecret reports whether what is sent holds something that others could use.
// SCRAM proves a password without sending it; so do an nkey and credentials.
func (o *Output) sendsSecret() bool {
	if o.Password+o.APIKey+o.BearerToken+o.Token != "" || o.SASL.Mechanism == "plain" {
		return true
	}
	return slices.ContainsFunc(o.Headers, func(h Header) bool {
		name := strings.ToLower(h.Name)
		return slices.ContainsFunc(tells, func(tell string) bool { return strings.Contains(name, tell) })
	})
}

// checkPlain notes a tls block that an address contradicts, and remarks on a secret that
// others on the way can read.
func (c *outputCheck) checkPlain(to []address) {
	warned := !c.o.sendsSecret()
	for _, a := range to {
		switch plain := !a.overTLS(c.o.TLS.Set); {
		case plain && c.o.TLS.Set:
			c.d.fail(a.n, "says %s://, but there is a tls block; write %s://", a.scheme, secured[a.scheme])
		case plain && !a.loopback() && !warned:
			c.d.warn(a.n, "a secret is sent there without TLS")
			warned = true
		}
	}
}

// secured is the scheme over TLS for one without.
var secured = map[string]string{"http": "https", "tcp": "tls", "udp": "tls"}
