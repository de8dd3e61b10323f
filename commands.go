package main

import (
	"fmt"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/logcatchsys/logcatchsys/internal/daemon"
	"github.com/logcatchsys/logcatchsys/logconfig"
)

// A usageError is one that the caller made.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func rootCommand(stdout *os.File) *cobra.Command {
	var file string
	root := &cobra.Command{
		Use:           "logcatchsys",
		Short:         "Follow log files and deliver each of their lines, once and in order",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.PersistentFlags().StringVarP(&file, "config", "c", "",
		"configuration `file` (default ./config.yaml, then /etc/logcatchsys/config.yaml)")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	runs := &cobra.Command{Use: "run", Short: "Follow what the configuration names (the default)"}
	for _, cmd := range []*cobra.Command{root, runs} {
		var once bool
		cmd.Args = noArgs
		cmd.Flags().BoolVar(&once, "once", false, "read all there is, deliver it, and exit with a summary")
		cmd.RunE = withFile(&file, func(cmd *cobra.Command, found string) error {
			return follow(cmd.Context(), found, once, stdout, cmd.ErrOrStderr())
		})
	}
	root.AddCommand(runs, checkCommand(&file), versionCommand())
	return root
}

// withFile finds the configuration file for a command.
func withFile(file *string, do func(cmd *cobra.Command, found string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		found, err := logconfig.Find(*file)
		if err != nil {
			return usageError{err}
		}
		return do(cmd, found)
	}
}

func noArgs(cmd *cobra.Command, args []string) error {
	if err := cobra.NoArgs(cmd, args); err != nil {
		return usageError{err}
	}
	return nil
}

func checkCommand(file *string) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Say what is wrong with the configuration, or what would be followed",
		Args:  noArgs,
		RunE: withFile(file, func(cmd *cobra.Command, found string) error {
			config, err := logconfig.Load(found)
			if err != nil {
				return err
			}
			return daemon.Check(cmd.OutOrStdout(), config)
		}),
	}
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Say which version this is",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "logcatchsys", version())
			return err
		},
	}
}

// version is the module's, with the commit where the build knows it, and Go's.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v += " " + s.Value[:min(len(s.Value), 12)]
		}
	}
	return v + " " + info.GoVersion
}
