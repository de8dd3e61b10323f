// Package command is the command line: what the program is asked to do, and with which
// code it exits.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/logcatchsys/logcatchsys/internal/daemon"
	"github.com/logcatchsys/logcatchsys/logconfig"
)

// The exit codes.
const (
	Stopped = 0 // stopped as asked; --once: everything was read and delivered
	Failed  = 1
	Usage   = 2 // wrong usage or configuration
)

// sayTime is how long the last message may take.
const sayTime = 5 * time.Second

// A Follow runs the daemon.
type Follow func(ctx context.Context, file string, once bool, stdout *os.File, stderr io.Writer) error

// Run does what args say and returns the exit code. follow is the daemon: it delivers
// what file names until ctx ends or, with once, until all there is has been delivered.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout *os.File, stderr io.Writer, follow Follow) int {
	cmd := root(stdout, follow)
	cmd.SetArgs(args)
	cmd.SetIn(stdin)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return Stopped
	}
	if wrong := (*logconfig.Error)(nil); errors.As(err, &wrong) {
		fmt.Fprintln(stderr, wrong) // a line for each problem, each with its place
		return Usage
	}
	said := make(chan struct{})
	go func() {
		defer close(said)
		fmt.Fprintf(stderr, "logcatchsys: %v\n", err)
	}()
	select {
	case <-said:
	case <-time.After(sayTime): // its reader stands still
	}
	if errors.As(err, new(usageError)) {
		return Usage
	}
	return Failed
}

// A usageError is one that the caller made.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func seeHelp(err error) error { return fmt.Errorf("%w; see --help", err) }

func root(stdout *os.File, follow Follow) *cobra.Command {
	var file string
	follows := func(use, short string) *cobra.Command {
		var once bool
		cmd := command(use, short, func(cmd *cobra.Command) error {
			return withFile(file, func(found string) error {
				return follow(cmd.Context(), found, once, stdout, cmd.ErrOrStderr())
			})
		})
		cmd.Flags().BoolVar(&once, "once", false, "read all there is, deliver it, and exit with a summary")
		return cmd
	}
	root := follows("logcatchsys", "Follow log files and deliver each of their lines, once and in order")
	root.SilenceUsage, root.SilenceErrors = true, true
	root.PersistentFlags().StringVarP(&file, "config", "c", "",
		"configuration `file` (default ./config.yaml, then /etc/logcatchsys/config.yaml)")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{seeHelp(err)} })
	var connect bool
	check := command("check", "Say what is wrong with the configuration, or what would be followed", func(cmd *cobra.Command) error {
		return withFile(file, func(found string) error {
			config, err := logconfig.Load(found)
			if err != nil {
				return err
			}
			if connect {
				return daemon.Connect(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), config)
			}
			return daemon.Check(cmd.OutOrStdout(), config)
		})
	})
	check.Flags().BoolVar(&connect, "connect", false, "try each output instead: whether it is there and lets us in; no record is sent")
	version := command("version", "Say which version this is", func(cmd *cobra.Command) error {
		_, err := fmt.Fprintln(cmd.OutOrStdout(), "logcatchsys", daemon.Version())
		return err
	})
	root.AddCommand(follows("run", "Follow what the configuration names (the default)"), check, version)
	return root
}

// command is one without arguments.
func command(use, short string, do func(*cobra.Command) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, RunE: func(cmd *cobra.Command, _ []string) error { return do(cmd) },
		Args: func(cmd *cobra.Command, args []string) error {
			if err := cobra.NoArgs(cmd, args); err != nil {
				return usageError{seeHelp(err)}
			}
			return nil
		}}
}

// withFile finds the configuration file for a command.
func withFile(file string, do func(found string) error) error {
	found, err := logconfig.Find(file)
	if err != nil {
		return usageError{err}
	}
	return do(found)
}
