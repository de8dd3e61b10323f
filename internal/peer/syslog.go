package peer

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func init() {
	register("syslog", func(dir string) (Peer, error) { return newSyslog(dir, "tcp") })
	register("syslog tls", func(dir string) (Peer, error) { return newSyslog(dir, "tls") })
	register("syslog udp", func(dir string) (Peer, error) { return newSyslog(dir, "udp") })
}

// Where an rsyslogd is that was unpacked and not installed, its modules, and its
// libraries, a path as in LD_LIBRARY_PATH.
const (
	rsyslogdAt  = "LOGCATCHSYS_RSYSLOGD"
	rsyslogMods = "LOGCATCHSYS_RSYSLOG_MODULES"
	rsyslogLibs = "LOGCATCHSYS_RSYSLOG_LIBS"
)

// Syslog is rsyslog, as Debian has it, with a configuration that changes nothing of its
// defaults but that it leaves control characters in messages as they are, and messages in
// their order.
type Syslog struct {
	program, dir string
	scheme, addr string
	cmd          *exec.Cmd // nil: down
	ended        chan error
}

func newSyslog(dir, scheme string) (Peer, error) {
	program, err := rsyslogd()
	if err != nil {
		return nil, err
	}
	s := &Syslog{program: program, dir: dir, scheme: scheme}
	if s.addr, err = FreeAddr(); err != nil {
		return nil, err
	}
	var global, module string
	if scheme == "tls" {
		if !hasOpenSSL() {
			return nil, fmt.Errorf("rsyslog-openssl: %w", ErrMissing)
		}
		if err := s.certify(); err != nil {
			return nil, err
		}
		global = fmt.Sprintf(` defaultNetstreamDriver="ossl" defaultNetstreamDriverCAFile=%q`+
			` defaultNetstreamDriverCertFile=%q defaultNetstreamDriverKeyFile=%q`, s.path("cert.pem"), s.path("cert.pem"), s.path("key.pem"))
		module = ` StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="anon"`
	}
	kind := "imtcp"
	if scheme == "udp" {
		kind = "imudp"
	}
	_, port, _ := net.SplitHostPort(s.addr)
	return s, os.WriteFile(s.path("rsyslog.conf"), fmt.Appendf(nil, syslogConfig, dir, global, kind, module, kind, port, s.path("records")), 0o644)
}

// By default two workers empty a queue that has grown long, and mix up its order.
const syslogConfig = `global(workDirectory=%q parser.escapeControlCharactersOnReceive="off"%s)
main_queue(queue.workerThreads="1")
module(load="%s"%s)
input(type="%s" address="127.0.0.1" port="%s")
template(name="record" type="list" option.jsonf="on") {
	property(outname="pri" name="pri" format="jsonf")
	property(outname="timestamp" name="timereported" dateFormat="rfc3339" format="jsonf")
	property(outname="host" name="hostname" format="jsonf")
	property(outname="app" name="app-name" format="jsonf")
	property(outname="structured" name="structured-data" format="jsonf")
	property(outname="message" name="msg" format="jsonf")
}
action(type="omfile" file=%q template="record")
`

// rsyslogd finds the program.
func rsyslogd() (string, error) {
	for _, name := range []string{os.Getenv(rsyslogdAt), "rsyslogd", "/usr/sbin/rsyslogd"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("rsyslogd: %w", ErrMissing)
}

// hasOpenSSL reports whether rsyslog's module for TLS is there.
func hasOpenSSL() bool {
	dir := os.Getenv(rsyslogMods)
	if dir == "" {
		dir = "/usr/lib/*/rsyslog"
	}
	found, _ := filepath.Glob(filepath.Join(dir, "lmnsd_ossl.so"))
	return len(found) > 0
}

func (s *Syslog) path(name string) string { return filepath.Join(s.dir, name) }

// certify makes the receiver a certificate that is its own authority.
func (s *Syslog) certify() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	public, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(s.path("cert.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: public}), 0o644),
		os.WriteFile(s.path("key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
}

// Start starts rsyslogd and waits until it listens.
func (s *Syslog) Start() error {
	args := []string{"-n", "-f", s.path("rsyslog.conf"), "-i", s.path("pid")}
	if mods := os.Getenv(rsyslogMods); mods != "" {
		args = append(args, "-M", mods)
	}
	log, err := os.OpenFile(s.Log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(s.program, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if libs := os.Getenv(rsyslogLibs); libs != "" {
		cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+libs)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting rsyslogd: %w", err)
	}
	s.cmd, s.ended = cmd, make(chan error, 1)
	go func() { s.ended <- cmd.Wait() }()
	if err := s.listening(); err != nil {
		text, _ := os.ReadFile(s.Log())
		return errors.Join(fmt.Errorf("starting rsyslogd: %w:\n%s", err, text), s.Kill())
	}
	return nil
}

// listening waits until the address is taken: rsyslogd says nothing.
func (s *Syslog) listening() error {
	for deadline := time.Now().Add(startTime); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		select {
		case err := <-s.ended:
			s.ended <- err
			return fmt.Errorf("it ended: %v", err)
		default:
		}
		if s.scheme == "udp" {
			// To try the address would keep rsyslogd from it.
			if bound, err := s.bound(); bound || err != nil {
				return err
			}
			continue
		}
		if c, err := net.Dial("tcp", s.addr); err == nil {
			return c.Close()
		}
	}
	return fmt.Errorf("it does not listen after %s; see %s", startTime, s.Log())
}

// bound looks whether somebody has the address for UDP.
func (s *Syslog) bound() (bool, error) {
	_, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		return false, err
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return false, err
	}
	sockets, err := os.ReadFile("/proc/net/udp")
	return bytes.Contains(sockets, fmt.Appendf(nil, ":%04X 00000000:0000 ", n)), err
}

// Stop ends it as a service manager does.
func (s *Syslog) Stop() error { return s.end(syscall.SIGTERM) }

// Kill ends it as kill -9 does.
func (s *Syslog) Kill() error { return s.end(os.Kill) }

func (s *Syslog) end(with os.Signal) error {
	if s.cmd == nil {
		return nil
	}
	_ = s.cmd.Process.Signal(with) // an error: it has ended
	err := <-s.ended
	s.cmd = nil
	if with == os.Kill {
		_ = os.Remove(s.path("pid")) // or the next one thinks that it is running
		return nil
	}
	return err
}

// Config has an authority over TLS.
func (s *Syslog) Config() string {
	more := ""
	if ca := s.CA(); ca != "" {
		more = fmt.Sprintf(", tls: {ca: '%s'}", ca)
	}
	return fmt.Sprintf("{type: syslog, address: '%s'%s}", s.Address(), more)
}

// Address is where it listens, as the output takes it.
func (s *Syslog) Address() string { return s.scheme + "://" + s.addr }

// CA is the file of the authority of its certificate; only over TLS it is there.
func (s *Syslog) CA() string {
	if s.scheme != "tls" {
		return ""
	}
	return s.path("cert.pem")
}

// Log is the file of what it says.
func (s *Syslog) Log() string { return s.path("rsyslogd.log") }

// A SyslogRecord is a message as rsyslog understood it.
type SyslogRecord struct {
	Pri, Timestamp, Host, App, Structured, Message string
}

// Records gives what it has written down.
func (s *Syslog) Records() (all []SyslogRecord, err error) {
	f, err := os.Open(s.path("records"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in := bufio.NewReader(f)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil { // io.EOF: the last line may be half written
			return all, nil
		}
		var r SyslogRecord
		if err := json.Unmarshal(line, &r); err != nil {
			return all, fmt.Errorf("rsyslogd wrote %q: %w", bytes.TrimSpace(line), err)
		}
		all = append(all, r)
	}
}

// Dump writes the message of each record.
func (s *Syslog) Dump(w io.Writer) error {
	all, err := s.Records()
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, r := range all {
		b.WriteString(r.Message)
		b.WriteByte('\n')
	}
	_, err = io.WriteString(w, b.String())
	return err
}

// Close kills it.
func (s *Syslog) Close() error { return s.Kill() }
