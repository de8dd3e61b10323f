// Command writefile plays the systems that write logs: without flags it writes 20 lines to each
// configured path and renames the log, as `go run ./writefile`. `writefile verify` checks what a
// collector made of numbered lines.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// The exit codes.
const (
	exitOK    = 0 // done, or stopped as asked; verify: nothing wrong
	exitWrong = 1 // writing or reading failed; verify: something is wrong
	exitUsage = 2 // wrong usage or configuration
)

// usageError is an error that the caller made.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// errWrong says that verify found faults, all of which it has reported already.
var errWrong = errors.New("something is wrong with what was delivered")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole program; it returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	cmd := newWriteCommand()
	cmd.AddCommand(newVerifyCommand())
	cmd.SetArgs(args)
	cmd.SetIn(stdin)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	err := cmd.ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errWrong):
		return exitWrong
	}
	fmt.Fprintf(stderr, "writefile: %v\n", err)
	if errors.As(err, new(usageError)) {
		return exitUsage
	}
	return exitWrong
}

// usageArgs makes wrong arguments a usage error.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{err}
		}
		return nil
	}
}
