package output

import (
	"fmt"
	"strings"
	"time"
)

// A template is a path with placeholders: {source} {host} and, of the time a batch
// was read (UTC), {yyyy} {mm} {dd} {hh}.
type template struct {
	literal []string // one more than fields
	fields  []string
}

const placeholders = "{source} {host} {yyyy} {mm} {dd} {hh}"

func parseTemplate(path string) (template, error) {
	var t template
	for {
		before, rest, found := strings.Cut(path, "{")
		t.literal = append(t.literal, before)
		if !found {
			return t, nil
		}
		field, after, closed := strings.Cut(rest, "}")
		if !closed || !strings.Contains(placeholders, "{"+field+"}") {
			return t, fmt.Errorf("path: unknown placeholder {%s in a path: it may hold %s", field, placeholders)
		}
		t.fields = append(t.fields, field)
		path = after
	}
}

// path fills the placeholders in.
func (t template) path(source, host string, at time.Time) string {
	if len(t.fields) == 0 {
		return t.literal[0]
	}
	at = at.UTC()
	var b strings.Builder
	for i, field := range t.fields {
		b.WriteString(t.literal[i])
		switch field {
		case "source":
			b.WriteString(safeName(source))
		case "host":
			b.WriteString(safeName(host))
		case "yyyy":
			fmt.Fprintf(&b, "%04d", at.Year())
		case "mm":
			fmt.Fprintf(&b, "%02d", at.Month())
		case "dd":
			fmt.Fprintf(&b, "%02d", at.Day())
		case "hh":
			fmt.Fprintf(&b, "%02d", at.Hour())
		}
	}
	b.WriteString(t.literal[len(t.fields)])
	return b.String()
}

// safeName makes a value that comes from outside fit for one part of a path: it
// cannot lead out of the folder that the template names.
func safeName(value string) string {
	safe := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || strings.ContainsRune(`/\:`, r) {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(value, "_"))
	if strings.Trim(safe, ".") == "" { // "", ".", ".."
		return strings.Repeat("_", max(len(safe), 1))
	}
	return safe
}
