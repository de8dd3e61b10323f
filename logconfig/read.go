package logconfig

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// maxFile is the size of the largest file that is read as a configuration.
const maxFile = 16 << 20

// readFile returns the content of a configuration file.
func readFile(file string) ([]byte, error) { return readLimited(file, maxFile) }

// readLimited returns the content of a regular file of at most so many bytes. It does
// not wait on a named pipe and does not swallow /dev/zero.
func readLimited(file string, most size) ([]byte, error) {
	st, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, errors.New("is not a regular file")
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, int64(most)+1))
	if err == nil && len(data) > int(most) {
		err = fmt.Errorf("is larger than %v", most)
	}
	return data, err
}

// A document is one configuration file on its way to a Config.
type document struct {
	file     string
	env      func(string) (string, bool)
	at       map[string]*node // by the name mapstructure has for a value: configpath[0].path
	sources  []*node          // of configpath, in order; the name is in node.name
	outputs  []*node
	visited  int // values built so far, of at most limit
	limit    int
	problems []Problem
	warnings []string
}

// read returns the root of the document, or nil if there is nothing to go on with.
func (d *document) read(data []byte) *node {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	root := &node{line: 1}
	if line, reason := notText(data); reason != "" {
		root.line = line
		d.fail(root, "%s", reason)
		return nil
	}
	doc, second, err := parseYAML(data)
	switch {
	case err != nil:
		root.line = lineOf(data, err)
		d.fail(root, "%s", explain(data, root.line, err))
	case doc == nil:
		root.line = 0
		d.fail(root, "the file is empty; it needs at least configpath")
	case second != nil:
		root.line = second.Line
		d.fail(root, "a second YAML document begins here; a configuration is one")
	default:
		root.line = doc.Content[0].Line
		d.limit = len(data) + maxExtra
		d.grow(root, doc.Content[0], 0)
		return d.rooted(root)
	}
	return nil
}

// rooted returns the root if it is a map.
func (d *document) rooted(root *node) *node {
	switch {
	case root.bad:
	case root.kind == null:
		root.line = 0
		d.fail(root, "the file is empty; it needs at least configpath")
	case root.kind != table:
		d.fail(root, "want a map of keys, such as configpath: {logdir1: ./logdir1/log.txt}")
	default:
		return root
	}
	return nil
}

// notText returns the first line that YAML cannot hold and why; no reason: none.
func notText(data []byte) (line int, reason string) {
	line = 1
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		switch {
		case r == '\n':
			line++
		case r == utf8.RuneError && n == 1:
			return line, "is not UTF-8 text"
		case r < ' ' && r != '\t' && r != '\r', r >= 0x7f && r < 0xa0 && r != 0x85, r == 0xfffe, r == 0xffff:
			return line, fmt.Sprintf("control character %U; in a quoted value write it as an escape", r)
		}
		i += n
	}
	return 0, ""
}

// parseYAML returns the first document, nil if there is none, and the second if
// there is one. A panic of the parser is an error: a reload must not end the process.
func parseYAML(data []byte) (doc, second *yaml.Node, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("yaml: the parser failed: %v", p)
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var docs [2]*yaml.Node
	for i := range docs {
		n := new(yaml.Node)
		switch err := dec.Decode(n); {
		case errors.Is(err, io.EOF):
			return docs[0], nil, nil
		case err != nil:
			return nil, nil, err
		}
		docs[i] = n
	}
	return docs[0], docs[1], nil
}

// lineOf returns the line of a syntax error. The parser's own line is often the
// start of what is around it, off by one, or missing; good only where something
// is not closed before the file ends. Else the line is the first with which the
// text up to it has the error.
func lineOf(data []byte, err error) int {
	line, reason := splitLine(err)
	if line > 0 && strings.Contains(reason, "end of stream") {
		return line
	}
	var ends []int // of the lines
	for i, c := range data {
		if c == '\n' {
			ends = append(ends, i+1)
		}
	}
	ends = append(ends, len(data))
	return 1 + sort.Search(len(ends)-1, func(i int) bool {
		_, _, err := parseYAML(data[:ends[i]])
		if err == nil {
			return false
		}
		_, r := splitLine(err)
		return r == reason
	})
}

// splitLine cuts "yaml: line 3: reason".
func splitLine(err error) (line int, reason string) {
	reason = strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(reason, "line "); ok {
		if num, r, ok := strings.Cut(rest, ": "); ok {
			if n, err := strconv.Atoi(num); err == nil {
				return n, r
			}
		}
	}
	return 0, reason
}

// explain returns the reason of a syntax error, with the usual cause if it is seen.
func explain(data []byte, line int, err error) string {
	_, reason := splitLine(err)
	if strings.HasPrefix(reason, "unknown anchor") { // its name may be a password
		return "is not YAML: an unknown anchor; a value that begins with * wants quotes"
	}
	lines := bytes.SplitN(data, []byte("\n"), line+1)
	if line <= len(lines) && bytes.HasPrefix(bytes.TrimLeft(lines[line-1], " "), []byte("\t")) {
		return "a tab indents this line; YAML wants spaces"
	}
	return "is not YAML: " + reason
}
