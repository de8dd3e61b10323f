package daemon

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/logcatchsys/logcatchsys/logconfig"
	"github.com/logcatchsys/logcatchsys/logtailf"
)

// Check writes what would be followed: for each source its outputs, the files that
// it stands for now with their sizes in bytes, and remarks.
func Check(out io.Writer, c *logconfig.Config) error {
	w := bufio.NewWriter(out)
	fmt.Fprintf(w, "%s: valid; %s, %s\n", c.File, count(len(c.Sources), "source"), count(len(c.Outputs), "output"))
	for _, remark := range c.Warnings {
		fmt.Fprintf(w, "remark: %s\n", remark)
	}
	users := map[string][]string{} // sources by path
	paths := map[string][]string{} // paths by source
	failed := map[string][]error{}
	for _, s := range c.Sources {
		paths[s.Name], failed[s.Name] = logtailf.Paths(tailOf(c, s))
		for _, path := range paths[s.Name] {
			users[path] = append(users[path], s.Name)
		}
	}
	for _, s := range c.Sources {
		fmt.Fprintf(w, "\n%s -> %s\n", s.Name, strings.Join(s.Outputs, ", "))
		for _, path := range paths[s.Name] {
			fmt.Fprintf(w, "  %s  %s%s\n", shown(path), kindOf(path), others(users[path], s.Name))
		}
		if len(paths[s.Name]) == 0 {
			fmt.Fprintf(w, "  %s  nothing there yet: waited for\n", shown(s.Path))
		}
		for _, err := range failed[s.Name] {
			fmt.Fprintf(w, "  remark: %v\n", err)
		}
	}
	return w.Flush()
}

// count is n things in words.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// kindOf is the size of a file, or what it is instead.
func kindOf(path string) string {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "cannot be looked at: " + err.Error()
	case info.Mode().IsRegular():
		return fmt.Sprintf("%d bytes", info.Size())
	case info.IsDir():
		return "is a folder: waited for until it is a file"
	case info.Mode()&os.ModeNamedPipe != 0:
		return "named pipe"
	}
	return info.Mode().Type().String()
}

// others is a remark on a file that several sources match.
func others(users []string, me string) string {
	users = slices.DeleteFunc(slices.Clone(users), func(u string) bool { return u == me })
	if len(users) == 0 {
		return ""
	}
	return "; remark: followed by " + strings.Join(users, ", ") + " too, each delivers every line"
}

// shown is a path for the eye: one with what cannot be printed comes quoted.
func shown(path string) string {
	if strings.ContainsFunc(path, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(path)
	}
	return path
}
