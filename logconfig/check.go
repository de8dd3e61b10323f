package logconfig

import (
	"cmp"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// maxOutputs bounds sources times outputs: every pair is a follower.
const maxOutputs = 100

// check makes a Config of what was decoded and notes what is not as it should be.
func (d *document) check(raw *rawConfig, file string) *Config {
	c := &Config{
		File: file, HTTP: raw.HTTP, HTTPSet: raw.httpSet,
		Poll: raw.Poll, RotateWait: raw.RotateWait, ShutdownTimeout: raw.ShutdownTimeout,
		MaxDeleted: int64(raw.MaxDeleted),
		Log:        Log{Level: raw.Log.Level, Format: raw.Log.Format},
	}
	within(d, "poll", raw.Poll, 10*time.Millisecond, time.Hour)
	within(d, "rotate_wait", raw.RotateWait, 0, 24*time.Hour)
	within(d, "shutdown_timeout", raw.ShutdownTimeout, 0, time.Hour)
	d.oneOf("log.format", raw.Log.Format, "text", "json")
	d.checkHTTP(raw.HTTP)

	folder := filepath.Dir(file)
	if d.checkPath("state", raw.State) {
		c.State = resolve(folder, raw.State)
	}
	c.Outputs = d.checkOutputs(raw.Outputs, folder, c.State)
	c.Sources = d.checkSources(raw.ConfigPath, c.Outputs, folder)
	c.Warnings = d.warnings
	return c
}

// given reports whether the file has a value at that place.
func (d *document) given(at string) bool { return d.at[at] != nil }

// within notes a value out of the range from lo to hi, both included.
func within[T cmp.Ordered](d *document, at string, v, lo, hi T) {
	if n := d.at[at]; n != nil && !n.bad && (v < lo || v > hi) {
		d.want(n, sprint(lo)+" to "+sprint(hi))
	}
}

// sprint writes a bound as a person would: 1h, not 1h0m0s.
func sprint(v any) string {
	switch v := v.(type) {
	case time.Duration:
		s := v.String()
		if strings.HasSuffix(s, "m0s") {
			s = strings.TrimSuffix(s, "0s")
		}
		if strings.HasSuffix(s, "h0m") {
			s = strings.TrimSuffix(s, "0m")
		}
		return s
	case size:
		return v.String()
	case int:
		return strconv.Itoa(v)
	}
	return ""
}

// oneOf notes a value that is none of the known ones.
func (d *document) oneOf(at, v string, known ...string) {
	if n := d.at[at]; n != nil && !n.bad && !slices.Contains(known, v) {
		d.want(n, strings.Join(known[:len(known)-1], ", ")+" or "+known[len(known)-1])
	}
}

func (d *document) checkHTTP(addr string) {
	n := d.at["http"]
	if n == nil || n.bad || addr == "" {
		return
	}
	_, port, err := net.SplitHostPort(addr)
	if p, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || strconv.FormatUint(p, 10) != port {
		d.want(n, "host:port such as 127.0.0.1:9477, or empty to switch it off")
	}
}

// checkPath reports whether the value can be a path.
func (d *document) checkPath(at, path string) bool {
	n := d.at[at]
	switch {
	case n == nil:
		return true
	case n.bad:
	case path == "":
		d.fail(n, "is empty")
	case strings.ContainsFunc(path, unicode.IsControl):
		d.fail(n, "holds a control character")
	case path == "~" || strings.HasPrefix(path, "~/"):
		d.fail(n, "~ is not expanded; write ${HOME}")
	default:
		return true
	}
	return false
}

// checkFile reports whether the value can be the path of a file.
func (d *document) checkFile(at, path string) bool {
	if !d.checkPath(at, path) {
		return false
	}
	if base := filepath.Base(path); strings.HasSuffix(filepath.ToSlash(path), "/") || base == "." || base == ".." {
		d.want(d.at[at], "a file, not a folder")
		return false
	}
	return true
}

// checkName notes a name that cannot be one: it becomes part of file names.
func (d *document) checkName(n *node) {
	switch {
	case strings.ContainsAny(n.name, `/\`):
		d.fail(n, "a name holds no / and no \\")
	case n.name == "." || n.name == "..":
		d.fail(n, "a name is not . or ..")
	}
}

// resolve makes a path absolute, from the folder of the configuration.
func resolve(folder, path string) string {
	if path = filepath.FromSlash(path); filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(folder, path)
}
