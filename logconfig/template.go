package logconfig

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// placeholders are what a template may hold, besides {label.NAME}.
var placeholders = []string{"{source}", "{host}", "{file}", "{name}", "{yyyy}", "{mm}", "{dd}", "{hh}"}

const labelPrefix = "{label."

// checkTemplate reports whether all that stands in braces is known.
func (d *document) checkTemplate(n *node, template string) bool {
	if n.bad {
		return false
	}
	holders, ok := holdersOf(template)
	if !ok {
		d.fail(n, "a brace has no partner")
		return false
	}
	for _, holder := range holders {
		label, isLabel := strings.CutPrefix(holder, labelPrefix)
		switch {
		case isLabel && label == "}":
			d.fail(n, "%s wants the name of a label", n.part(holder))
			return false
		case !isLabel && !slices.Contains(placeholders, holder):
			d.fail(n, "%s is unknown; known are %s {label.NAME}", n.part(holder), strings.Join(placeholders, " "))
			return false
		}
	}
	return true
}

// holdersOf returns what stands in braces, with them; ok: each brace has its partner.
func holdersOf(template string) (holders []string, ok bool) {
	for rest := template; ; {
		i := strings.IndexAny(rest, "{}")
		if i < 0 {
			return holders, true
		}
		end := strings.IndexByte(rest[i:], '}')
		if rest[i] == '}' || end < 0 {
			return holders, false
		}
		holders = append(holders, rest[i:i+end+1])
		rest = rest[i+end+1:]
	}
}

// filled returns the template with a letter in the place of every placeholder: what
// it shows of the rules for a name, whatever the values.
func filled(template string) string {
	holders, _ := holdersOf(template)
	for _, holder := range holders {
		template = strings.Replace(template, holder, "x", 1)
	}
	return template
}

// labelsOf returns the names of the labels that the template wants.
func labelsOf(template string) []string {
	holders, _ := holdersOf(template)
	var names []string
	for _, holder := range holders {
		if name, ok := strings.CutPrefix(holder, labelPrefix); ok {
			names = append(names, strings.TrimSuffix(name, "}"))
		}
	}
	return names
}

// part returns a part of the value for a message, or, if it is not in what was
// written and may so come from an environment variable, a word for it.
func (n *node) part(s string) string {
	if strings.Contains(n.raw, s) {
		return s
	}
	return "a placeholder"
}

// expand returns the path that a template stands for now. Where the source is a
// glob, its files are stood for by the pattern, which matches itself often enough.
func expand(template string, s *Source, host string, now time.Time) string {
	pairs := []string{
		"{source}", s.Name, "{host}", host, "{name}", filepath.Base(s.Path),
		"{file}", strings.ReplaceAll(s.Path, string(filepath.Separator), "_"),
		"{yyyy}", fmt.Sprintf("%04d", now.Year()), "{mm}", fmt.Sprintf("%02d", now.Month()),
		"{dd}", fmt.Sprintf("%02d", now.Day()), "{hh}", fmt.Sprintf("%02d", now.Hour()),
	}
	for _, name := range labelsOf(template) {
		pairs = append(pairs, labelPrefix+name+"}", s.Labels[name])
	}
	return strings.NewReplacer(pairs...).Replace(template)
}
