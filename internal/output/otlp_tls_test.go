package output

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/logcatchsys/logcatchsys/logconfig"
)

// An otlpCertificate says what is wrong with one, if anything.
type otlpCertificate struct {
	name    string // "": the address it is used at
	expired bool
}

// An otlpChain is an authority and a server's certificate that it has signed.
type otlpChain struct {
	ca     string // path
	server *tls.Config
}

func otlpCert(t *testing.T, c otlpCertificate) otlpChain {
	t.Helper()
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if c.name == "" {
		leaf.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	} else {
		leaf.DNSNames = []string{c.name}
	}
	if c.expired {
		leaf.NotAfter = time.Now().Add(-time.Minute)
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	ca, err := x509.CreateCertificate(rand.Reader, authority, authority, &caKey.PublicKey, caKey)
	must(t, err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	signed, err := x509.CreateCertificate(rand.Reader, leaf, authority, &key.PublicKey, caKey)
	must(t, err)
	path := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca}), 0o600))
	return otlpChain{path, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{signed}, PrivateKey: key}}}}
}

func TestOTLPOverTLS(t *testing.T) {
	bothOTLP(t, func(t *testing.T, protocol string) {
		for _, c := range []struct {
			what   otlpCertificate
			server string // server_name
			other  bool   // another authority is trusted
			want   string // in the error; "": delivered
		}{
			{what: otlpCertificate{}},
			{what: otlpCertificate{name: "logs.example"}, server: "logs.example"},
			{what: otlpCertificate{name: "logs.example"}, want: "another name"},
			{what: otlpCertificate{expired: true}, want: "has expired"},
			{what: otlpCertificate{}, other: true, want: "authority that is not known"},
		} {
			chain := otlpCert(t, c.what)
			f := otlpFake(t, protocol, chain.server)
			if c.other {
				chain = otlpCert(t, c.what)
			}
			set := func(s *Spec) { s.TLS = logconfig.TLS{Set: true, CA: chain.ca, ServerName: c.server} }
			o, _ := f.opened(t, set, Env{})
			put(t, o, sample("a", 0, 2))
			_, err := o.Flush(bg)
			if c.want == "" && (err != nil || len(f.messages("a")) != 2) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%+v: %v", c, err)
			}
			spec := f.spec
			set(&spec)
			if perr := Probe(bg, spec, Env{}, nil); (perr == nil) != (err == nil) {
				t.Errorf("%+v: the probe says %v", c, perr)
			}
		}
	})
}
