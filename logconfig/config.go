// Package logconfig loads, checks and watches the configuration file. All that
// is wrong with a file is reported at once, each with its line. A Config that
// was loaded is valid and never changes; a changed file makes a new one.
package logconfig

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"time"
)

// A Config is one validated configuration.
type Config struct {
	File    string   // absolute path of the file it was read from
	Sources []Source // in the order of the file; at least one
	Outputs []Output // in the order of the file; the default is one: stdout, text
	State   string   // folder of the checkpoint, absolute
	HTTP    string   // host:port of the status listener; "" switches it off
	HTTPSet bool     // HTTP was written out: a listener that cannot be opened is an error

	Poll            time.Duration // 10ms to 1h
	RotateWait      time.Duration // 0 to 24h
	ShutdownTimeout time.Duration // 0 to 1h
	MaxDeleted      int64         // bytes; 0: no limit
	Log             Log

	// Warnings are remarks on a valid file, each as file:line: key: remark.
	Warnings []string
}

// A Source is one entry of configpath.
type Source struct {
	Name string
	// Path is absolute. With Glob it is a doublestar pattern in which what is
	// special in the name of the configuration's folder is escaped; without, it
	// is the path itself, nothing in it special.
	Path string
	Glob bool
	// Exclude are doublestar patterns, matched on the base name, or, when they
	// hold a '/', on the full path (they are absolute or begin with "**/").
	Exclude []string
	// Rotated are doublestar patterns relative to the log's folder, with {name},
	// {stem} and {ext} still in them. nil: the default habits; empty: none.
	Rotated  []string
	Start    string // "beginning" or "end"
	Symlinks bool
	MaxLine  int // bytes, 16 to 1 GiB
	Labels   map[string]string
	Outputs  []string // names of outputs that are there; never empty
	Line     int      // in the file, for messages
}

// Log says how the daemon's own log is written.
type Log struct {
	Level  slog.Level
	Format string // "text" or "json"
}

// Source returns the source of that name.
func (c *Config) Source(name string) (Source, bool) {
	i := slices.IndexFunc(c.Sources, func(s Source) bool { return s.Name == name })
	if i < 0 {
		return Source{}, false
	}
	return c.Sources[i], true
}

// Output returns the output of that name.
func (c *Config) Output(name string) (Output, bool) {
	i := slices.IndexFunc(c.Outputs, func(o Output) bool { return o.Name == name })
	if i < 0 {
		return Output{}, false
	}
	return c.Outputs[i], true
}

// Equal reports whether both mean the same: a source that only moved to another
// line of the file is followed on undisturbed.
func (s Source) Equal(o Source) bool {
	s.Line, o.Line = 0, 0
	return reflect.DeepEqual(s, o)
}

// systemFile is where Find looks last. A variable for the tests.
var systemFile = "/etc/logcatchsys/config.yaml"

// Find returns the configuration file to use: the explicit one if it is not
// empty, else config.yaml in the working folder, else the system's. A file that
// is there but cannot be read is returned, so that Load says why and the
// next one is not taken in its place.
func Find(explicit string) (string, error) {
	if explicit != "" {
		return explicit, nil
	}
	for _, file := range []string{"config.yaml", systemFile} {
		if _, err := os.Lstat(file); !errors.Is(err, fs.ErrNotExist) {
			return file, nil
		}
	}
	return "", fmt.Errorf("no configuration: neither ./config.yaml nor %s is there; name one with -c", systemFile)
}

// Load reads and checks the file. The error is an *Error: every problem that the
// file has, sorted by line. The values of environment variables are in no error.
func Load(file string) (*Config, error) {
	config, _, err := load(file)
	return config, err
}

// load is Load, and returns what the file held, as far as it could be read.
func load(file string) (config *Config, data []byte, err error) {
	abs, err := filepath.Abs(file)
	if err != nil {
		return nil, nil, &Error{Problems: []Problem{{Reason: "cannot be found: " + err.Error()}}, File: file, cause: err}
	}
	data, err = readFile(file)
	if err != nil {
		return nil, nil, &Error{Problems: []Problem{{Reason: reasonOf(err)}}, File: file, cause: err}
	}
	config, err = parse(file, abs, data, os.LookupEnv)
	return config, data, err
}

// parse makes a configuration of the bytes; file is its name in messages.
func parse(file, abs string, data []byte, env func(string) (string, bool)) (*Config, error) {
	d := &document{file: file, at: map[string]*node{}, env: env}
	if root := d.read(data); root != nil {
		raw := d.decode(d.shape(root))
		c := d.check(raw, abs)
		if len(d.problems) == 0 {
			return c, nil
		}
	}
	return nil, d.err()
}
