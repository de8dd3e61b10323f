package logconfig

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// A file of another kind altogether must fill neither the log nor the memory.
const (
	maxShown    = 100  // problems in an error's text
	maxProblems = 1000 // problems that are kept
)

// An Error is all that is wrong with a configuration file.
type Error struct {
	File     string    // as it was given to Load
	Problems []Problem // sorted by line; never empty
	cause    error     // when the file could not be read
}

// A Problem is one thing that is wrong.
type Problem struct {
	Line   int    // 1 is the first; 0: the file as a whole
	Key    string // such as outputs.archive.format; empty when no key is concerned
	Reason string // never holds the value of an environment variable
}

// Error returns one line a problem: file:line: key: reason.
func (e *Error) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i == maxShown {
			fmt.Fprintf(&b, "\n%s: and %d more", e.File, len(e.Problems)-i)
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.in(e.File))
	}
	return b.String()
}

// Unwrap returns why the file could not be read, or nil.
func (e *Error) Unwrap() error { return e.cause }

func (p Problem) in(file string) string {
	if p.Line > 0 {
		file = fmt.Sprintf("%s:%d", file, p.Line)
	}
	if p.Key != "" {
		file += ": " + p.Key
	}
	return file + ": " + p.Reason
}

// err returns the problems found so far as an *Error.
func (d *document) err() *Error {
	slices.SortStableFunc(d.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Reason, b.Reason))
	})
	// An anchor that is used ten times has its problems once.
	return &Error{File: d.file, Problems: slices.Compact(d.problems)}
}

// fail notes a problem with the value. What else is wrong with the same value
// follows from the first and is not reported.
func (d *document) fail(n *node, format string, args ...any) {
	if s := n.secret(); s != nil && s != n { // names in there may be pieces of the secret
		n.bad = true
		n, format, args = s, "want text; in quotes, if YAML gives its first character a meaning", nil
	}
	if n.bad {
		return
	}
	n.bad = true
	if len(d.problems) == maxProblems {
		return
	}
	d.problems = append(d.problems, Problem{n.line, n.key(), fmt.Sprintf(format, args...)})
}

// want notes that the value is not what it should be, and shows it as it
// is written: what stands for ${NAME} may be a secret. A secret is not shown.
func (d *document) want(n *node, what string) {
	if n.kind != scalar || n.secret() != nil {
		d.fail(n, "want %s", what)
		return
	}
	d.fail(n, "want %s, got %s", what, quote(n.raw))
}

// warn notes a remark on a valid value.
func (d *document) warn(n *node, format string, args ...any) {
	d.warnings = append(d.warnings, Problem{n.line, n.key(), fmt.Sprintf(format, args...)}.in(d.file))
}

// quote returns s in quotes, shortened if it is long.
func quote(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return fmt.Sprintf("%q", s)
}

// reasonOf drops the path of a file system error: the message begins with it.
func reasonOf(err error) string {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return "cannot " + p.Op + " it: " + p.Err.Error()
	}
	return err.Error()
}
