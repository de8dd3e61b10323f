package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/logcatchsys/logcatchsys/internal/traffic"
	"github.com/spf13/cobra"
)

const verifyLong = `Reads what a collector delivered, files (or patterns) oldest first or standard input, and reports
what was lost, repeated, torn, out of order or delivered as the wrong source, for each source.

Without --expect and --expect-json all numbers from 1 to the highest that came are expected.
Exit code 0: nothing is wrong. 1: something is, or nothing was there to check. 2: wrong usage.`

type verifyFlags struct {
	format     string
	expect     []string
	expectJSON []string
	allow      []string
	json       bool
}

func newVerifyCommand() *cobra.Command {
	f := &verifyFlags{}
	cmd := &cobra.Command{
		Use:           "verify [file…|-]",
		Short:         "Check what a collector delivered",
		Long:          verifyLong,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVar(&f.format, "format", string(traffic.Auto), fmt.Sprintf("one of %v", traffic.Formats))
	fs.StringArrayVar(&f.expect, "expect", nil, "`source=N` or source/wK=N: lines 1 to N of its writer K (1) are expected; may be repeated")
	fs.StringArrayVar(&f.expectJSON, "expect-json", nil, "`file` with what writefile --json printed; may be repeated")
	fs.StringSliceVar(&f.allow, "allow", nil, fmt.Sprintf("`faults` that are reported but not wrong: %s", kindNames()))
	fs.BoolVar(&f.json, "json", f.json, "the report as JSON")
	return cmd
}

func kindNames() string {
	names := make([]string, len(traffic.Kinds))
	for i, k := range traffic.Kinds {
		names[i] = string(k)
	}
	return strings.Join(names, ", ")
}

func (f *verifyFlags) run(cmd *cobra.Command, args []string) error {
	v := &traffic.Verifier{}
	wrong, err := f.wrongKinds()
	if err == nil {
		err = f.expectations(v)
	}
	if err != nil {
		return usageError{err}
	}
	files, err := expand(args)
	if err != nil {
		return usageError{err}
	}
	format := traffic.Format(f.format)
	if len(files) == 0 {
		err = v.Read("stdin", cmd.InOrStdin(), format)
	}
	for _, file := range files {
		if err = v.ReadFile(file, format); err != nil {
			break
		}
	}
	report := v.Report()
	if f.json {
		if jsonErr := json.NewEncoder(cmd.OutOrStdout()).Encode(report); jsonErr != nil {
			return jsonErr
		}
	} else if _, textErr := report.WriteTo(cmd.OutOrStdout()); textErr != nil {
		return textErr
	}
	switch {
	case err != nil:
		return err
	case len(report.Sources) == 0:
		return fmt.Errorf("nothing to check: no line was read and none expected")
	case len(wrong) > 0 && report.Count(wrong...) > 0:
		return errWrong
	}
	return nil
}

// wrongKinds are the faults that make the exit code 1.
func (f *verifyFlags) wrongKinds() ([]traffic.Kind, error) {
	if !slices.Contains(traffic.Formats, traffic.Format(f.format)) {
		return nil, fmt.Errorf("format: %q is none of %v", f.format, traffic.Formats)
	}
	wrong := slices.Clone(traffic.Kinds)
	for _, name := range f.allow {
		i := slices.Index(wrong, traffic.Kind(name))
		if i < 0 && !slices.Contains(traffic.Kinds, traffic.Kind(name)) {
			return nil, fmt.Errorf("allow: %q is none of: %s", name, kindNames())
		}
		if i >= 0 {
			wrong = slices.Delete(wrong, i, i+1)
		}
	}
	return wrong, nil
}

// expectations tells v what there should be.
func (f *verifyFlags) expectations(v *traffic.Verifier) error {
	for _, e := range f.expect {
		at := strings.LastIndexByte(e, '=')
		if at < 1 {
			return fmt.Errorf("expect: %q is not source=N", e)
		}
		n, err := strconv.ParseUint(e[at+1:], 10, 63)
		if err != nil {
			return fmt.Errorf("expect: %q: %w", e, err)
		}
		source, writer := e[:at], 1
		if name, w, ok := strings.Cut(source, "/w"); ok {
			if k, err := strconv.Atoi(w); err == nil {
				source, writer = name, k
			}
		}
		v.Expect(traffic.SequenceID(source, writer), 1, n)
	}
	for _, name := range f.expectJSON {
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		var w written
		if err := json.Unmarshal(data, &w); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		v.ExpectStats(w.Sources...)
	}
	return nil
}

// expand makes files of the arguments, oldest first; none means standard input. A pattern that
// matches nothing is an error: what is not there cannot be found to be right.
func expand(args []string) ([]string, error) {
	if len(args) == 0 || len(args) == 1 && args[0] == "-" {
		return nil, nil
	}
	var files []string
	for _, arg := range args {
		if _, err := os.Stat(arg); err == nil {
			files = append(files, arg)
			continue
		}
		found, err := doublestar.FilepathGlob(arg, doublestar.WithFilesOnly())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", arg, err)
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("%s: no such file", arg)
		}
		files = append(files, found...)
	}
	traffic.OldestFirst(files)
	return slices.Compact(files), nil
}
