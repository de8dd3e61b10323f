package e2e

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/logcatchsys/logcatchsys/internal/peer"
)

func TestMain(m *testing.M) {
	peer.Main()
	flag.Parse()
	flag.Set("test.parallel", "6") // they wait for the most part
	remove, err := Build()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	remove()
	os.Exit(code)
}
