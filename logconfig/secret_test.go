package logconfig

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// loadOne loads a file with one output of type http in dir; env has SECRET_FILE.
func loadOne(t *testing.T, dir, keys string) (*Config, error) {
	t.Helper()
	env := func(name string) (string, bool) { return "file:" + secret, name == "REF" }
	yaml := "configpath: {a: ./a.log}\noutputs:\n  o: {type: http, url: 'https://h', " + keys + "}\n"
	return parse("c.yaml", filepath.Join(dir, "c.yaml"), []byte(yaml), env)
}

func TestSecretFiles(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string]string{
		"plain": "s3cret", "line": "s3cret\n", "crlf": "s3cret\r\n", "spaces": " s3cret ", "most": strings.Repeat("x", 64<<10-1) + "\n",
		"empty": "", "newline": "\n", "lines": "s3cret\n\n", "nul": "s3cret\x00", "large": strings.Repeat("s3cret", 11_000),
	} {
		writeFile(t, filepath.Join(dir, name), []byte(data))
	}
	for name, want := range map[string]string{
		"plain": "s3cret", "line": "s3cret", "crlf": "s3cret", "spaces": " s3cret ", "./most": strings.Repeat("x", 64<<10-1),
		filepath.ToSlash(filepath.Join(dir, "line")): "s3cret",
	} {
		c, err := loadOne(t, dir, "bearer_token: 'file:"+name+"', headers: {X-A: 'file:"+name+"'}")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if o := c.Outputs[0]; o.BearerToken.Reveal() != want || o.Headers[0].Value.Reveal() != want {
			t.Errorf("%s: another secret", name)
		}
	}
	_, err := loadOne(t, dir, "bearer_token: '"+strings.Repeat("s3cret", 11_000)+"'")
	if err == nil || err.Error() != "c.yaml:3: outputs.o.bearer_token: is larger than 64KiB" {
		t.Errorf("a large plain secret: %.200v", err)
	}
	for value, want := range map[string]string{
		"file:empty":   `the file "empty" is empty`,
		"file:newline": `the file "newline" is empty`,
		"file:lines":   `the file "lines" holds a control character`,
		"file:nul":     `the file "nul" holds a control character`,
		"file:large":   `the file "large" is larger than 64KiB`,
		"file:none":    `the file "none" cannot be read: no such file or directory`,
		"file:.":       `the file "." is not a regular file`,
		"${REF}":       `the file that it refers to cannot be read: no such file or directory`,
		"file:a${REF}": `the file "a${REF}" cannot be read: no such file or directory`,
	} {
		if runtime.GOOS == "windows" && strings.Contains(want, "no such") {
			continue
		}
		_, err := loadOne(t, dir, "bearer_token: '"+value+"'")
		if want := "c.yaml:3: outputs.o.bearer_token: " + want; err == nil || err.Error() != want {
			t.Errorf("%s: got\n%v\nwant\n%s", value, err, want)
		}
	}
}

func TestTLSFiles(t *testing.T) {
	dir := t.TempDir()
	cert, key := selfSigned(t)
	_, other := selfSigned(t)
	for name, data := range map[string][]byte{
		"cert": cert, "key": key, "other": other, "rubbish": []byte("s3cret"),
		"broken": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("s3cret")}),
	} {
		writeFile(t, filepath.Join(dir, name), data)
	}
	if c, err := loadOne(t, dir, "tls: {ca: cert, cert: cert, key: key}"); err != nil || c.Outputs[0].TLS.CA != filepath.Join(dir, "cert") {
		t.Errorf("good files: %v", err)
	}
	for tls, want := range map[string]string{
		"ca: ''":                     "tls.ca: is empty",
		"ca: .":                      "tls.ca: want a file, not a folder",
		"ca: ../" + "x/../none":      `tls.ca: the file "../x/../none" cannot be read`,
		"ca: rubbish":                "tls.ca: the file holds no certificate in PEM form",
		"ca: broken":                 "tls.ca: the file holds no certificate in PEM form",
		"cert: cert":                 "tls.cert: wants the key key too",
		"key: key":                   "tls.key: wants the key cert too",
		"cert: cert, key: other":     "tls.cert: with its key: private key does not match public key",
		"cert: cert, key: rubbish":   "tls.cert: with its key: failed to find any PEM data in key input",
		"cert: broken, key: key":     "tls.cert: with its key: ",
		"cert: none, key: 'rubbish'": `tls.cert: the file "none" cannot be read`,
	} {
		_, err := loadOne(t, dir, "tls: {"+tls+"}")
		if want := "c.yaml:3: outputs.o." + want; err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: got\n%v\nwant\n%s", tls, err, want)
		}
	}
}

// No check shows a secret, whatever it wants of it.
func TestWantHidesSecrets(t *testing.T) {
	d := &document{file: "c", at: map[string]*node{}, env: func(string) (string, bool) { return "", false }}
	d.shape(d.read([]byte("outputs: {o: {type: http, Password: s3cret, token: s3cret, headers: {A: s3cret}, sasl: {password: s3cret, mechanism: m}}}")))
	for _, key := range []string{"password", "token", "headers[0]", "sasl.password", "sasl.mechanism"} {
		d.want(d.at["outputs[0]."+key], "another")
	}
	const shown = `c:1: outputs.o.sasl.mechanism: want another, got "m"`
	if got := d.err().Error(); strings.Count(got, "\n") != 4 || strings.Contains(got, "s3cret") || !strings.Contains(got, shown) {
		t.Errorf("got\n%s", got)
	}
}

// A file that may not be read is an error at once, not at the first connection.
func TestUnreadableFiles(t *testing.T) {
	if runtime.GOOS == "windows" || os.Getuid() == 0 {
		t.Skip("who runs this may read everything")
	}
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "closed"), []byte("s3cret"))
	if err := os.Chmod(filepath.Join(dir, "closed"), 0); err != nil {
		t.Fatal(err)
	}
	for _, keys := range []string{"bearer_token: 'file:closed'", "tls: {ca: closed}"} {
		if _, err := loadOne(t, dir, keys); err == nil || !strings.Contains(err.Error(), `the file "closed" cannot be read: permission denied`) {
			t.Errorf("%s: %v", keys, err)
		}
	}
}

// Whatever a password is made of and however YAML takes it, it is in no message.
func FuzzSecret(f *testing.F) {
	for _, around := range [][2]string{
		{"", ""}, {"{", "}"}, {"{", ": a}"}, {"{", ""}, {"[", "]"}, {"*", ""}, {"&", ""}, {"&a *", ""}, {"!", ""}, {"!!", " a"}, {"!<", "> x"},
		{"'", ""}, {"\"\\", "\""}, {"%", ""}, {"@", ""}, {"|", ""}, {"? ", ""}, {"a: ", ""}, {"{a: &x b, <<: *", "}"}, {"{? {", "} : a}"}, {"!!int ", ""},
		{"{a: {b: {c: ", "}}}"}, {"\"\\x00", "\""}, {"\"", "\\u0001\""}, {"- ", ""}, {"$", "{"},
	} {
		f.Add(around[0], around[1])
	}
	file, err := filepath.Abs("config.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		const word = "S3CRET"
		// A line break begins another key; names of files and of variables are shown.
		if all := before + after; strings.ContainsAny(all, "\r\n\u0085\u2028\u2029") || strings.Contains(all, "file:") || strings.Contains(before, "${") {
			t.Skip()
		}
		value := before + word + after
		for _, format := range []string{
			"  o:\n    type: http\n    url: https://h\n    username: u\n    password: %s\n",
			"  o:\n    type: kafka\n    brokers: h:1\n    sasl:\n      mechanism: plain\n      username: u\n      password: %s\n",
			"  o:\n    type: http\n    url: https://h\n    headers:\n      X-A: %s\n",
			"  o:\n    type: http\n    url: https://h\n    bearer_token: %s\n    nonsense: 1\n",
		} {
			c, err := parse("c", file, fmt.Appendf(nil, "configpath: {a: ./a}\noutputs:\n"+format, value), func(string) (string, bool) { return "", false })
			if err != nil && strings.Contains(err.Error(), word) {
				t.Errorf("%q: %v", value, err)
			}
			if err == nil && strings.Contains(fmt.Sprintf("%+v %q", c, c.Warnings), word) {
				t.Errorf("%q: printed", value)
			}
		}
	})
}

// selfSigned returns a certificate and its key in PEM form.
func selfSigned(t *testing.T) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "h"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
}
