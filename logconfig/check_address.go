package logconfig

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// An address is where an output sends to.
type address struct {
	n      *node
	scheme string // "" for host:port
	host   string
}

// overTLS reports whether what is sent there is encrypted; block: there is a tls block.
func (a address) overTLS(block bool) bool {
	switch a.scheme {
	case "https", "tls":
		return true
	case "nats", "":
		return block
	}
	return false
}

// loopback reports whether nothing leaves this machine.
func (a address) loopback() bool {
	ip, err := netip.ParseAddr(a.host)
	return err == nil && ip.Unmap().IsLoopback() || strings.EqualFold(a.host, "localhost")
}

// A urlRule says what URLs a key takes.
type urlRule struct {
	schemes     []string
	port        bool // must be there
	path, query bool // may be there
	example     string
}

var (
	webBase    = urlRule{schemes: []string{"http", "https"}, path: true, example: "https://host:9200"}
	webURL     = urlRule{schemes: []string{"http", "https"}, path: true, query: true, example: "https://host/path"}
	natsURL    = urlRule{schemes: []string{"nats", "tls"}, example: "nats://host:4222"}
	syslogAddr = urlRule{schemes: []string{"tcp", "tls", "udp"}, port: true, example: "tcp://host:6514"}
)

// checkURL returns what the URL addresses.
func (d *document) checkURL(n *node, value string, rule urlRule) (address, bool) {
	u, err := url.Parse(value)
	switch {
	case n.bad:
	case err != nil || !slices.Contains(rule.schemes, u.Scheme) || !strings.HasPrefix(value, u.Scheme+"://"),
		!isHost(u.Hostname()), !isPort(u.Port()) && (rule.port || u.Port() != ""), strings.HasSuffix(u.Host, ":"):
		d.wantAddress(n, "a URL ("+strings.Join(rule.schemes, ", ")+") such as "+rule.example)
	case u.User != nil:
		d.fail(n, "holds a user; write username and password (or a token) as keys of their own")
	case strings.Contains(value, "#"):
		d.fail(n, "holds a fragment (#), which no server sees")
	case !rule.query && strings.Contains(value, "?"):
		d.fail(n, "holds a query (?), which has no meaning here")
	case !rule.path && u.Path != "":
		d.fail(n, "holds a path, which has no meaning here")
	default:
		return address{n: n, scheme: u.Scheme, host: u.Hostname()}, true
	}
	return address{}, false
}

// checkHostPort returns what host:port addresses.
func (d *document) checkHostPort(n *node, value, example string) (address, bool) {
	host, port, err := net.SplitHostPort(value)
	switch {
	case n.bad:
	case err != nil || !isHost(host) || !isPort(port):
		d.wantAddress(n, "host:port such as "+example)
	default:
		return address{n: n, host: host}, true
	}
	return address{}, false
}

// wantAddress notes an address that is none, and does not show one in which a
// password or a token may stand.
func (d *document) wantAddress(n *node, what string) {
	if strings.ContainsAny(n.raw, "@?") {
		d.fail(n, "want %s; a user, a password and a token have keys of their own", what)
		return
	}
	d.want(n, what)
}

// isHost reports whether s can be a host name or an IP address.
func isHost(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(".-_:%", r)
	})
}

// isPort reports whether s is a port that can be connected to, written plainly.
func isPort(s string) bool {
	p, err := strconv.ParseUint(s, 10, 16)
	return err == nil && p > 0 && strconv.FormatUint(p, 10) == s
}
