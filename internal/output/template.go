package output

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/logcatchsys/logcatchsys/internal/record"
)

// A template is text with placeholders: {source} {host} {file} {name} {label.NAME} and,
// of the time a batch was read (UTC), {yyyy} {mm} {dd} {hh}.
type template struct {
	literal []string // one more than fields
	fields  []string
	labels  bool // one of the fields is a label
}

const placeholders = "{source} {host} {file} {name} {yyyy} {mm} {dd} {hh}"

// parseTemplate reads the value of the key called what.
func parseTemplate(what, text string) (template, error) {
	var t template
	for {
		before, rest, found := strings.Cut(text, "{")
		t.literal = append(t.literal, before)
		if !found {
			return t, nil
		}
		field, after, closed := strings.Cut(rest, "}")
		label := strings.HasPrefix(field, "label.") && len(field) > len("label.")
		if !closed || !label && !strings.Contains(placeholders, "{"+field+"}") {
			return t, fmt.Errorf("%s: unknown placeholder {%s: it may hold %s {label.NAME}", what, field, placeholders)
		}
		t.fields, t.labels = append(t.fields, field), t.labels || label
		text = after
	}
}

// fixed reports whether the template has no placeholders.
func (t template) fixed() bool { return len(t.fields) == 0 }

// fill puts the values of b in the places; each passes through safe, which may be nil.
func (t template) fill(b *record.Batch, host string, safe func(string) string) string {
	if t.fixed() {
		return t.literal[0]
	}
	var labels map[string]string
	if t.labels && b.Labels != "" {
		_ = json.Unmarshal([]byte(b.Labels), &labels) // our own encoding
	}
	at := b.Read.UTC()
	var s strings.Builder
	for i, field := range t.fields {
		s.WriteString(t.literal[i])
		var value string
		switch field {
		case "source":
			value = b.Source
		case "host":
			value = host
		case "file":
			value = b.File
		case "name":
			value = filepath.Base(b.File)
		case "yyyy":
			value = fmt.Sprintf("%04d", at.Year())
		case "mm":
			value = fmt.Sprintf("%02d", at.Month())
		case "dd":
			value = fmt.Sprintf("%02d", at.Day())
		case "hh":
			value = fmt.Sprintf("%02d", at.Hour())
		default:
			value = labels[strings.TrimPrefix(field, "label.")]
		}
		if safe != nil {
			value = safe(value)
		}
		s.WriteString(value)
	}
	s.WriteString(t.literal[len(t.fields)])
	return s.String()
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
