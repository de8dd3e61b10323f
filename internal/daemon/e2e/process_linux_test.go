package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// peakKiB is the largest resident memory of the process so far, in KiB.
func (p *Program) peakKiB() int { return p.statusKiB("VmHWM") }

// residentKiB is the resident memory of the process, in KiB.
func (p *Program) residentKiB() int { return p.statusKiB("VmRSS") }

func (p *Program) statusKiB(name string) int {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Cmd.Process.Pid))
	Must(p.t, err)
	_, rest, _ := strings.Cut(string(text), name+":")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	Must(p.t, err)
	return n
}

// descriptors is how many are open in the process.
func (p *Program) descriptors() int {
	p.t.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.Cmd.Process.Pid))
	Must(p.t, err)
	return len(list)
}

// startShell runs shell commands and then the program in their place.
func (y *Yard) startShell(before string, attr *syscall.SysProcAttr) *Program {
	y.t.Helper()
	cmd := exec.Command("sh", "-c", before+` && exec "$0" -c config.yaml`, Binary)
	cmd.Dir, cmd.SysProcAttr = y.Dir, attr
	return StartCommand(y.t, cmd)
}

// inNamespace runs shell commands as the root of a user namespace of its own, and
// then the program.
func (y *Yard) inNamespace(before string) *Program {
	y.t.Helper()
	ids := func(id int) []syscall.SysProcIDMap { return []syscall.SysProcIDMap{{HostID: id, Size: 1}} }
	attr := &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER, UidMappings: ids(os.Getuid()), GidMappings: ids(os.Getgid()),
	}
	try := exec.Command("sh", "-c", before)
	try.SysProcAttr = attr
	if out, err := try.CombinedOutput(); err != nil {
		y.t.Skipf("no user namespace here: %v: %s", err, out)
	}
	return y.startShell(before, attr)
}

func needRoot(t *testing.T, what string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root may " + what)
	}
}
