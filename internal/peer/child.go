package peer

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const (
	childName = "LOGCATCHSYS_TEST_PEER" // environment: which program this process is
	readyLine = "ready\n"               // what a child says when it takes connections
	stopTime  = 30 * time.Second        // for a child to end in order
)

// A program is a far end that runs as a process of its own, so that it can be killed. It
// calls ready when it takes connections, and returns when stop is closed and it has ended
// in order, or when it failed.
type program func(dir string, args []string, ready func(), stop <-chan struct{}) error

// programs are those that Main can become; init adds to them.
var programs = map[string]program{}

// Main comes first in TestMain of a package whose tests use peers. In a process that child
// started it is the server, and does not return.
func Main() {
	name := os.Getenv(childName)
	if name == "" {
		return
	}
	if err := become(name, os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// become runs a program until stdin ends: it does when the parent says so, and when the
// parent is gone.
func become(name, dir string, args []string) error {
	serve, ok := programs[name]
	if !ok {
		return errors.New("no such program")
	}
	stop := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(stop)
		time.Sleep(stopTime) // no child outlives its parent for longer
		os.Exit(2)
	}()
	return serve(dir, args, func() { _, _ = io.WriteString(os.Stdout, readyLine) }, stop)
}

// A childProcess runs a program. Peers embed it: it has their Start, Stop, Kill and Close.
type childProcess struct {
	name, dir string
	args      []string

	cmd   *exec.Cmd // nil: down
	stdin io.Closer
	ended chan struct{}
	err   error // how it ended; after ended
}

// child is a program with these arguments, which is not running yet. Its stderr is
// kept in dir.
func child(name, dir string, args ...string) *childProcess {
	return &childProcess{name: name, dir: dir, args: args}
}

// Start runs the program and waits until it is ready.
func (c *childProcess) Start() error {
	if c.cmd != nil {
		return fmt.Errorf("%s is up", c.name)
	}
	ready, err := c.spawn()
	if err != nil {
		return fmt.Errorf("starting %s: %w", c.name, err)
	}
	timeout := time.NewTimer(startTime)
	defer timeout.Stop()
	select {
	case <-ready:
		return nil
	case <-c.ended:
		err = c.err
	case <-timeout.C:
		err = fmt.Errorf("it is not ready after %s", startTime)
	}
	return errors.Join(fmt.Errorf("starting %s: %w; see %s", c.name, err, c.log()), c.Kill())
}

// spawn starts the process; ready is closed when it says that it is.
func (c *childProcess) spawn() (ready <-chan struct{}, err error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(c.log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(exe, append([]string{c.dir}, c.args...)...)
	cmd.Env = append(os.Environ(), childName+"="+c.name)
	cmd.Stderr = log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c.cmd, c.stdin, c.ended, c.err = cmd, stdin, make(chan struct{}), nil
	return c.attend(stdout), nil
}

// attend reads what the process says, and waits for its end.
func (c *childProcess) attend(stdout io.Reader) (ready <-chan struct{}) {
	isReady := make(chan struct{})
	go func() {
		defer close(c.ended)
		in := bufio.NewReader(stdout)
		for told := false; ; {
			line, err := in.ReadString('\n')
			if err != nil {
				break
			}
			if line == readyLine && !told {
				told = true
				close(isReady)
			}
		}
		if c.err = c.cmd.Wait(); c.err == nil {
			c.err = errEnded
		}
	}()
	return isReady
}

var errEnded = errors.New("it ended by itself")

func (c *childProcess) log() string { return filepath.Join(c.dir, c.name+".stderr") }

// Stop ends the program in order; no error if it is down.
func (c *childProcess) Stop() error {
	if c.cmd == nil {
		return nil
	}
	select {
	case <-c.ended: // an end that nobody asked for
		return errors.Join(fmt.Errorf("stopping %s: %w; see %s", c.name, c.err, c.log()), c.Kill())
	default:
	}
	err := c.stdin.Close()
	process := c.cmd.Process
	giveUp := time.AfterFunc(stopTime, func() { _ = process.Kill() })
	<-c.ended
	giveUp.Stop()
	if c.err != errEnded {
		err = errors.Join(err, c.err)
	}
	c.cmd = nil
	if err != nil {
		return fmt.Errorf("stopping %s: %w; see %s", c.name, err, c.log())
	}
	return nil
}

// Kill ends the process as kill -9 does; no error if it is down.
func (c *childProcess) Kill() error {
	if c.cmd == nil {
		return nil
	}
	_ = c.cmd.Process.Kill() // it fails if the process has ended
	<-c.ended
	c.cmd = nil
	_ = c.stdin.Close()
	return nil
}

// Close kills it: what it has on disk goes with the test.
func (c *childProcess) Close() error { return c.Kill() }
