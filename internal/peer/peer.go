// Package peer has the far ends that tests deliver to: servers that speak the protocol
// of an output, and that can be stopped, cut off, started again and asked what they
// hold. No part of the product uses it.
package peer

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// ErrMissing says that a program which a peer needs is not installed: skip the test.
var ErrMissing = errors.New("not installed")

// A Peer is a far end. Its address stays the same over Stop and Start, and so does what
// it has said yes to. Its methods are for one goroutine.
type Peer interface {
	// Start brings it up, at first and after Stop or Kill. It takes connections then.
	Start() error

	// Stop ends it in order: what it has begun to answer, it answers.
	Stop() error

	// Kill ends it suddenly: connections are cut, and nothing is answered any more.
	Kill() error

	// Config is the output in config.yaml, a YAML flow map such as
	// {type: http, url: 'http://127.0.0.1:21234/in'}.
	Config() string

	// Dump writes the messages that it holds now, a line each, in the order in which
	// its readers see them. It must be up.
	Dump(w io.Writer) error

	// Close ends it for good and lets go of everything.
	Close() error
}

// types has a maker for each type of output; register adds to it.
var types = map[string]func(dir string) (Peer, error){}

// register is called by init in the file of a peer.
func register(kind string, open func(dir string) (Peer, error)) { types[kind] = open }

// New makes the peer of an output type; it is down, and its address is chosen. What it
// keeps on disk is in dir. The error is ErrMissing if it cannot be had on this machine.
func New(kind, dir string) (Peer, error) {
	open, ok := types[kind]
	if !ok {
		return nil, fmt.Errorf("no peer of type %q: one of %s", kind, strings.Join(slices.Sorted(maps.Keys(types)), ", "))
	}
	p, err := open(dir)
	if err != nil {
		return nil, fmt.Errorf("peer of type %s: %w", kind, err)
	}
	return p, nil
}

// The ports of peers lie below those that systems give away by themselves (Linux: from
// 32768), and none is given twice: nobody gets one while its peer is down. Processes
// begin far apart.
const firstPort, ports = 15000, 17000

var nextPort atomic.Uint32

func init() { nextPort.Store(uint32(os.Getpid()%ports) * 251) }

// startTime is how long a server may take to come up.
const startTime = time.Minute

// FreeAddr is an address at which nobody listens, and nobody will who does not know it.
func FreeAddr() (string, error) {
	// A process that this one is just starting would have a copy of the listener, and keep
	// the address, until it is what it will be.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	var err error
	for range 1000 {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(firstPort+int(nextPort.Add(1)%ports)))
		var l net.Listener
		if l, err = net.Listen("tcp", addr); err == nil {
			return addr, l.Close()
		}
	}
	return "", fmt.Errorf("no free port: %w", err)
}

// listen takes an address that FreeAddr gave. It may be taken for a moment after the
// listener before was closed: a process that this one is just starting has a copy of it
// until it is what it will be.
func listen(addr string) (net.Listener, error) {
	deadline := time.Now().Add(startTime)
	for {
		l, err := net.Listen("tcp", addr)
		if err == nil || time.Now().After(deadline) {
			return l, err
		}
		time.Sleep(time.Millisecond)
	}
}
