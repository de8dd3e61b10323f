package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/logcatchsys/logcatchsys/logconfig"
)

// Every configuration that the documentation shows is one that is taken.
func TestDocumentedConfigurations(t *testing.T) {
	blocks := regexp.MustCompile("(?s)\n```yaml\n(.*?)\n```")
	for file, least := range map[string]int{"README.md": 3, "docs/outputs.md": 8} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := blocks.FindAllSubmatch(text, -1)
		if len(found) < least {
			t.Errorf("%s shows %d configurations", file, len(found))
		}
		dir := t.TempDir()
		writeCertificate(t, filepath.Join(dir, "ca.pem"), filepath.Join(dir, "client.pem"), filepath.Join(dir, "client.key"))
		for _, name := range []string{"user.creds", "otlp-token"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte("secret"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, b := range found {
			config := string(b[1])
			if !strings.Contains(config, "configpath:") {
				config = "configpath: {web: ./web.log}\n" + config
			}
			for _, env := range regexp.MustCompile(`\$\{(\w+)\}`).FindAllStringSubmatch(config, -1) {
				t.Setenv(env[1], "secret")
			}
			path := filepath.Join(dir, "config.yaml")
			if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := logconfig.Load(path); err != nil {
				t.Errorf("%s: %v\n%s", file, err, config)
			}
		}
	}
}

// writeCertificate makes a certificate that signs itself, as an authority's and as a
// client's.
func writeCertificate(t *testing.T, ca, cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for path, text := range map[string][]byte{ca: public, cert: public, key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
