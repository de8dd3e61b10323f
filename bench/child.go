//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// endTimeout is how long a collector has to end after SIGTERM.
const endTimeout = 30 * time.Second

// A child is a running collector, in a process group of its own.
type child struct {
	cmd  *exec.Cmd
	log  string        // its stderr
	done chan struct{} // closed when it has ended
	err  error         // how; after done
	peak int64         // bytes, as seen by the last sample
	over bool          // end or kill was called
}

// begin starts the collector on a job.
func (c collector) begin(j job) (*child, error) {
	if c.missing != "" {
		return nil, errors.New(c.missing)
	}
	cmd, err := c.command(j)
	if err != nil {
		return nil, fmt.Errorf("preparing: %w", err)
	}
	if f, ok := cmd.Stdout.(*os.File); ok {
		defer f.Close()
	}
	log, err := os.OpenFile(j.work("stderr"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting: %w", err)
	}
	p := &child{cmd: cmd, log: log.Name(), done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.err = cmd.Wait()
	}()
	return p, nil
}

func (p *child) pid() int { return p.cmd.Process.Pid }

// signal goes to the whole group, as long as its leader has not been waited for.
func (p *child) signal(s syscall.Signal) {
	select {
	case <-p.done:
	default:
		_ = syscall.Kill(-p.pid(), s) // it may have ended in this moment
	}
}

// end stops the child and waits for it; the error is that of one that would not end, or had failed
// before. It may be called again.
func (p *child) end() error {
	if p.over {
		return nil
	}
	p.over = true
	p.sample()
	select {
	case <-p.done:
		return p.gone()
	default:
	}
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return nil // with whatever status it gives a SIGTERM
	case <-time.After(endTimeout):
		p.kill()
		return fmt.Errorf("did not end within %v of SIGTERM", endTimeout)
	}
}

// kill is kill -9, and waits.
func (p *child) kill() {
	p.over = true
	p.signal(syscall.SIGKILL)
	<-p.done
}

// gone says how the child ended and what it said last; nil if it ended well.
func (p *child) gone() error {
	if p.err == nil {
		return nil
	}
	said, _ := os.ReadFile(p.log) // without it the status must do
	lines := bytes.Split(bytes.TrimSpace(said), []byte("\n"))
	return fmt.Errorf("ended: %w: %s", p.err, lines[len(lines)-1])
}

// cpu is the processor time, user and system, of an ended child.
func (p *child) cpu() time.Duration {
	return p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
}
