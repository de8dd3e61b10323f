package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/traffic"
	"github.com/spf13/cobra"
)

const writeLong = `Writes lines to the configured logs, all at the same time, and rotates them.

Without flags: 20 lines "Hello current time is 2006-01-02 15:04:05" to each path, 100 ms apart; then
the log is renamed to <yyyymmddhhmmss>.txt in its folder (-1.txt, -2.txt … if there is one already).

With --numbered each line is
    <source>/w<writer> <number, 12 digits> [<filler> ]<checksum>
so that "writefile verify" can tell what was lost, repeated, torn or out of order.

--rotate:
  rename       the log is renamed, the writers go on in a new file
  rename-keep  each writer adds --late lines to the renamed file before it opens the new one; at the
               end of a round these are the last lines of the round
  copytruncate the log is copied and emptied while the writers stand still: no line is lost by it
  delete       the writers stand still for --settle, so that a collector has the chance to open the
               file and read it; then it is removed
  gzip, zstd   renamed, then compressed; the original is removed when that is done
  none         no rotation`

// writeFlags are the flags of the main command that are not traffic's own options.
type writeFlags struct {
	traffic.Options
	config string
	paths  []string
	rotate string
	naming string
	every  string
	json   bool
	quiet  bool
}

func newWriteCommand() *cobra.Command {
	f := &writeFlags{Options: traffic.Default()}
	cmd := &cobra.Command{
		Use:           "writefile",
		Short:         "Write lines to the configured logs and rotate them",
		Long:          writeLong,
		Args:          usageArgs(cobra.NoArgs),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.register(cmd)
	return cmd
}

func (f *writeFlags) register(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVarP(&f.config, "config", "c", "", "configuration (default ./config.yaml, then /etc/logcatchsys/config.yaml)")
	fs.StringArrayVar(&f.paths, "paths", nil, "`path` or name=path to write instead of the configured ones; may be repeated")
	fs.Int64Var(&f.Lines, "lines", f.Lines, "lines of a round, a path")
	fs.IntVar(&f.Rounds, "rounds", f.Rounds, "rounds; 0: until Ctrl-C")
	fs.Float64Var(&f.Rate, "rate", f.Rate, "lines a second, a path; 0: as fast as possible")
	fs.IntVar(&f.Size, "size", f.Size, "fill each line up to so many `bytes`, its line end included")
	fs.BoolVar(&f.Numbered, "numbered", f.Numbered, "numbered lines, for verify")
	fs.Uint64Var(&f.From, "from", f.From, "number of each writer's first line: to go on where another run ended")
	fs.IntVar(&f.Writers, "writers", f.Writers, "writers of each path; they share its lines")
	fs.IntVar(&f.Batch, "batch", f.Batch, "lines in one write, at most")
	fs.BoolVar(&f.Split, "split", f.Split, "each line in several writes, cut anywhere")
	fs.StringVar(&f.rotate, "rotate", string(f.Rotate), fmt.Sprintf("how to rotate: one of %v", traffic.Rotations))
	fs.StringVar(&f.every, "every", "", "rotate after so many `lines|duration`, instead of at the end of each round")
	fs.BoolVar(&f.Jitter, "jitter", f.Jitter, "with --every and a duration: anywhere from 0 to twice the duration")
	fs.IntVar(&f.Late, "late", f.Late, "rename-keep: lines each writer adds to the renamed file")
	fs.DurationVar(&f.Settle, "settle", f.Settle, "delete: how long the file is quiet before")
	fs.StringVar(&f.naming, "name", string(f.Naming), "names of the generations: timestamp or index (.1, .2, …)")
	fs.Uint64Var(&f.Seed, "seed", f.Seed, "of what is random: cuts and jitter")
	fs.BoolVar(&f.json, "json", f.json, "print what was written as JSON, for verify --expect-json; the text goes to stderr")
	fs.BoolVarP(&f.quiet, "quiet", "q", f.quiet, "do not report each rotation")
}

// options checks the flags.
func (f *writeFlags) options() (traffic.Options, error) {
	o := f.Options
	o.Rotate, o.Naming = traffic.Rotation(f.rotate), traffic.Naming(f.naming)
	if f.every != "" {
		lines, err := strconv.ParseInt(f.every, 10, 64)
		if err == nil {
			o.EveryLines = lines
		} else if o.Every, err = time.ParseDuration(f.every); err != nil {
			return o, usageError{fmt.Errorf("every: %q is neither a number of lines nor a duration", f.every)}
		}
		if o.EveryLines <= 0 && o.Every <= 0 {
			return o, usageError{fmt.Errorf("every: must be more than 0, is %s", f.every)}
		}
	}
	if err := o.Validate(); err != nil {
		return o, usageError{err}
	}
	return o, nil
}

func (f *writeFlags) run(cmd *cobra.Command) error {
	o, err := f.options()
	if err != nil {
		return err
	}
	text := cmd.OutOrStdout()
	if f.json {
		text = cmd.ErrOrStderr()
	}
	sources, err := f.sources(text)
	if err != nil {
		return usageError{err}
	}
	ui := newUI(text, cmd.ErrOrStderr(), o, len(sources))
	o.Wrote = ui.wrote
	if !f.quiet {
		o.Rotated = ui.rotated
	}
	stats, err := traffic.Run(cmd.Context(), sources, o)
	ui.end(stats, cmd.Context().Err() != nil)
	if f.json {
		enc := json.NewEncoder(cmd.OutOrStdout())
		if jsonErr := enc.Encode(written{stats}); jsonErr != nil && err == nil {
			err = jsonErr
		}
	}
	return err
}

// written is the JSON of what was written.
type written struct {
	Sources []traffic.Stats `json:"sources"`
}
