// Package leak is for tests. It finds goroutines that outlive what started them.
package leak

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience is how long a goroutine that is about to end may take. By itself goleak waits
// for less than half a second, for which a busy machine may well stop a thread.
const patience = 30 * time.Second

// Find waits until no goroutines are left but those of the caller and the options; the
// error names the others.
func Find(options ...goleak.Option) error {
	for deadline := time.Now().Add(patience); ; {
		err := goleak.Find(options...)
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// None fails the test if goroutines are left.
func None(t testing.TB, options ...goleak.Option) {
	t.Helper()
	if err := Find(options...); err != nil {
		t.Error(err)
	}
}

// Main runs the tests of a package and ends the process; goroutines that are left fail it.
func Main(m *testing.M, options ...goleak.Option) { os.Exit(Run(m, options...)) }

// Run is Main for who has something to do before the process ends.
func Run(m *testing.M, options ...goleak.Option) int {
	code := m.Run()
	if code == 0 {
		if err := Find(options...); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}
