package logconfig

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// Without inotify instances viper would end the process; the looks must do. The
// test runs itself again in a user namespace that allows none.
func TestNoInotifyInstance(t *testing.T) {
	const limit = "/proc/sys/user/max_inotify_instances"
	if os.Getenv("LOGCONFIG_NO_INOTIFY") != "" {
		if err := os.WriteFile(limit, []byte("0"), 0); err != nil {
			t.Skip("not allowed to set the limit:", err)
		}
		p := newPlace(t)
		c := p.watch()
		p.write("second")
		p.within(c, patience)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestNoInotifyInstance$", "-test.v")
	cmd.Env = append(os.Environ(), "LOGCONFIG_NO_INOTIFY=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	switch {
	case err == nil && strings.Contains(string(out), "--- SKIP"):
		t.Skipf("%s", out)
	case err != nil && len(out) == 0:
		t.Skip("no user namespace:", err)
	case err != nil:
		t.Errorf("%v\n%s", err, out)
	}
}
