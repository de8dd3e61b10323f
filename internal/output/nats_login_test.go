package output

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/logcatchsys/logcatchsys/internal/record"
	"github.com/logcatchsys/logcatchsys/logconfig"
)

func TestNATSCredentials(t *testing.T) {
	user, err := nkeys.CreateUser()
	must(t, err)
	public, err := user.PublicKey()
	must(t, err)
	seed, err := user.Seed()
	must(t, err)
	seedFile := filepath.Join(t.TempDir(), "seed")
	must(t, os.WriteFile(seedFile, seed, 0o600))
	other, err := nkeys.CreateUser()
	must(t, err)
	otherSeed, err := other.Seed()
	must(t, err)
	otherFile := filepath.Join(t.TempDir(), "other")
	must(t, os.WriteFile(otherFile, otherSeed, 0o600))
	for what, c := range map[string]struct {
		server    func(*server.Options)
		admin     nats.Option
		good, bad func(*Spec)
	}{
		"password": {
			func(o *server.Options) { o.Username, o.Password = "u", "p" }, nats.UserInfo("u", "p"),
			func(s *Spec) { s.Username, s.Password = "u", "p" }, func(s *Spec) { s.Username, s.Password = "u", "wr0ng!" },
		},
		"token": {
			func(o *server.Options) { o.Authorization = "t" }, nats.Token("t"),
			func(s *Spec) { s.Token = "t" }, func(s *Spec) { s.Token = "wr0ng!" },
		},
		"nkey": {
			func(o *server.Options) { o.Nkeys = []*server.NkeyUser{{Nkey: public}} }, nats.Nkey(public, user.Sign),
			func(s *Spec) { s.NKey = seedFile }, func(s *Spec) { s.NKey = otherFile },
		},
	} {
		t.Run(what, func(t *testing.T) {
			s := newNATSServer(t, c.server)
			s.client(c.admin)
			s.stream(nil)
			testNATSLogin(t, s, c.good, c.bad)
		})
	}
}

// testNATSLogin delivers with good credentials, and not with bad ones.
func testNATSLogin(t *testing.T, s *natsServer, good, bad func(*Spec)) {
	t.Helper()
	samples := []*record.Batch{sample("a", 0, 0)}
	o := s.opened(bad, Env{})
	b := sample("a", 0, 3)
	o.(Encoder).Encode(b)
	probed := s.spec()
	bad(&probed)
	for _, err := range []error{flushed(o, b), Probe(bg, probed, Env{}, samples)} {
		if err == nil || !strings.Contains(err.Error(), "does not accept the credentials") || strings.Contains(err.Error(), "wr0ng") {
			t.Error("bad credentials:", err)
		}
	}
	good(&probed)
	if err := Probe(bg, probed, Env{}, samples); err != nil {
		t.Error("good credentials:", err)
	}
	o = s.opened(good, Env{})
	must(t, flushed(o, b))
	farEnd{got: s.messages, once: true}.check(t, "a", 3)
}

func flushed(o Output, b *record.Batch) error {
	if err := o.Write(bg, b); err != nil {
		return err
	}
	_, err := o.Flush(bg)
	return err
}

// A credentials file of an account that an operator has signed.
func TestNATSCredentialsFile(t *testing.T) {
	operator, account := natsKeys(t, nkeys.CreateOperator), natsKeys(t, nkeys.CreateAccount)
	claims := jwt.NewAccountClaims(account.public)
	claims.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}
	accountJWT, err := claims.Encode(operator.pair)
	must(t, err)
	creds := natsCredentials(t, account)
	system := natsKeys(t, nkeys.CreateAccount)
	systemJWT, err := jwt.NewAccountClaims(system.public).Encode(operator.pair)
	must(t, err)
	s := newNATSServer(t, func(o *server.Options) {
		resolver := &server.MemAccResolver{}
		must(t, resolver.Store(account.public, accountJWT))
		must(t, resolver.Store(system.public, systemJWT))
		o.AccountResolver, o.TrustedKeys, o.SystemAccount = resolver, []string{operator.public}, system.public
	})
	s.client(nats.UserCredentials(creds))
	s.stream(nil)
	stranger := natsCredentials(t, natsKeys(t, nkeys.CreateAccount))
	testNATSLogin(t, s, func(spec *Spec) { spec.Credentials = creds }, func(spec *Spec) { spec.Credentials = stranger })
}

type natsKey struct {
	pair   nkeys.KeyPair
	public string
}

func natsKeys(t *testing.T, create func() (nkeys.KeyPair, error)) natsKey {
	pair, err := create()
	must(t, err)
	public, err := pair.PublicKey()
	must(t, err)
	return natsKey{pair, public}
}

// natsCredentials is the file of a new user.
func natsCredentials(t *testing.T, account natsKey) string {
	user := natsKeys(t, nkeys.CreateUser)
	seed, err := user.pair.Seed()
	must(t, err)
	token, err := jwt.NewUserClaims(user.public).Encode(account.pair)
	must(t, err)
	text, err := jwt.FormatUserConfig(token, seed)
	must(t, err)
	path := filepath.Join(t.TempDir(), "user.creds")
	must(t, os.WriteFile(path, text, 0o600))
	return path
}

func TestNATSTLS(t *testing.T) {
	later := time.Now().Add(time.Hour)
	_, stranger := certificate(t, "127.0.0.1", later)
	for what, c := range map[string]struct {
		address string
		until   time.Time
		ca      string // "": the right one
		want    string
	}{
		"good":              {"127.0.0.1", later, "", ""},
		"expired":           {"127.0.0.1", time.Now().Add(-time.Hour), "", "has expired"},
		"wrong name":        {"127.0.0.2", later, "", "for another name"},
		"unknown authority": {"127.0.0.1", later, stranger, "authority that is not known"},
	} {
		t.Run(what, func(t *testing.T) {
			cert, ca := certificate(t, c.address, c.until)
			s := newNATSServer(t, func(o *server.Options) {
				o.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
			})
			s.client(nats.Secure(&tls.Config{InsecureSkipVerify: true}))
			s.stream(nil)
			if c.ca != "" {
				ca = c.ca
			}
			for _, scheme := range []string{"nats", "tls"} { // the server asks for it too
				o := s.opened(func(spec *Spec) {
					spec.Servers = []string{scheme + "://" + s.Addr().String()}
					spec.TLS = logconfig.TLS{CA: ca}
				}, Env{})
				b := sample("a", 0, 3)
				o.(Encoder).Encode(b)
				err := flushed(o, b)
				if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
					t.Errorf("%s: %v, want %q", scheme, err, c.want)
				}
			}
		})
	}
}

// Who wants TLS sends nothing to a server without.
func TestNATSPlainServer(t *testing.T) {
	s := newNATSServer(t, nil)
	s.stream(nil)
	o := s.opened(func(spec *Spec) { spec.TLS.Set = true }, Env{})
	b := sample("a", 0, 1)
	o.(Encoder).Encode(b)
	if err := flushed(o, b); err == nil || !strings.Contains(err.Error(), "does not speak TLS") {
		t.Error("no error that says so:", err)
	}
}
