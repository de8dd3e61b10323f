package output

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"
)

// explained is err with the cause in words, where the cause is a usual one: a name
// that is not known, nobody listening, a certificate that is not good, no answer.
func explained(err error) error {
	if err == nil {
		return nil
	}
	if cause := causeOf(err); cause != "" {
		return &explanation{cause, err}
	}
	return err
}

// An explanation reads as the cause alone and unwraps to the error.
type explanation struct {
	cause string
	err   error
}

func (e *explanation) Error() string { return e.cause }

func (e *explanation) Unwrap() error { return e.err }

// noAnswer is the cause of a time-out.
const noAnswer = "no answer in time"

func causeOf(err error) string {
	var dns *net.DNSError
	var op *net.OpError
	var known *explanation
	at := ""
	if errors.As(err, &op) && op.Addr != nil {
		at = " by " + op.Addr.String()
	}
	switch {
	case errors.As(err, &known):
		return ""
	case errors.As(err, &dns) && dns.IsNotFound:
		return fmt.Sprintf("the name %s is not known (DNS)", dns.Name)
	case errors.As(err, &dns):
		return fmt.Sprintf("the name %s cannot be looked up (DNS): %s", dns.Name, dns.Err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the connection is refused" + at + ": nothing listens there"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return "there is no way to the network" + strings.Replace(at, " by ", " of ", 1)
	}
	return causeOfTLS(err)
}

func causeOfTLS(err error) string {
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	var unknown x509.UnknownAuthorityError
	var plain tls.RecordHeaderError
	var op *net.OpError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		now, c := time.Now(), invalid.Cert
		if now.Before(c.NotBefore) {
			return "TLS: the certificate is not valid before " + c.NotBefore.UTC().Format(time.RFC3339)
		}
		return "TLS: the certificate has expired on " + c.NotAfter.UTC().Format(time.RFC3339)
	case errors.As(err, &name):
		return "TLS: the certificate is for another name: " + strings.TrimPrefix(name.Error(), "x509: ")
	case errors.As(err, &unknown):
		return "TLS: the certificate is signed by an authority that is not known; name it in tls.ca"
	case badCertificate(err):
		return "TLS: the certificate is not good: " + err.Error()
	case errors.As(err, &plain), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return "TLS: the other end does not speak TLS"
	case errors.As(err, &op) && op.Op == "remote error": // an alert
		return "TLS: the other end ends the connection: " + strings.TrimPrefix(op.Err.Error(), "tls: ")
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return noAnswer
	case strings.Contains(err.Error(), "malformed HTTP"):
		return "the other end does not speak HTTP"
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET),
		errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed): // the last: net/http's, on its behalf
		return "the other end has closed the connection"
	}
	return ""
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
