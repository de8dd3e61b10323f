package logtailf

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// habits knows how the generations of a log are named.
//
// A name is only ever a hint: the caller compares contents before it reads a
// file as a generation, so a habit may be generous, but not blind.
type habits struct {
	custom   bool
	patterns []string // with the placeholders of placeholder in them
}

// newHabits returns the habits of one source: the usual ones for nil, else the
// patterns given. A pattern is a doublestar pattern relative to the folder of
// the log, in which {name} stands for the log's base name, {stem} for the name
// without its extension, {ext} for the extension with its dot. A file with .gz
// or .zst behind a name that matches is taken too. The error names all patterns
// that are wrong.
func newHabits(patterns []string) (habits, error) {
	if patterns == nil {
		return habits{}, nil
	}
	var errs []error
	for _, p := range patterns {
		if err := checkPattern(p); err != nil {
			errs = append(errs, fmt.Errorf("pattern %q: %w", p, err))
		}
	}
	if len(errs) > 0 {
		return habits{}, errors.Join(errs...)
	}
	clean := make([]string, len(patterns))
	for i, p := range patterns {
		clean[i] = path.Clean(p) // "./x" never matches a path without "./"
	}
	return habits{custom: true, patterns: clean}, nil
}

func checkPattern(p string) error {
	switch {
	case p == "":
		return errors.New("is empty")
	case path.IsAbs(p):
		return errors.New("must be relative to the log's folder")
	case strings.HasSuffix(p, "/"):
		return errors.New("names a folder, not files")
	}
	plain := expandPattern(path.Clean(p), "log.txt") // as it will be used
	if err := checkBraces(plain); err != nil {
		return err
	}
	if !doublestar.ValidatePattern(plain) {
		return doublestar.ErrBadPattern
	}
	if !doublestar.ValidatePattern(path.Dir(plain)) {
		return errors.New("slash inside braces or brackets") // globs could not tell its folders
	}
	return nil
}

// checkBraces refuses braces without a comma: useless as a pattern, they are a
// misspelt placeholder.
func checkBraces(p string) error {
	for {
		open := strings.IndexByte(p, '{')
		if open < 0 {
			return nil
		}
		p = p[open:]
		end := strings.IndexByte(p, '}')
		if end < 0 {
			return nil // ValidatePattern refuses it
		}
		if group := p[:end+1]; !strings.Contains(group, ",") {
			return fmt.Errorf("unknown placeholder %s: known are {name}, {stem} and {ext}", group)
		}
		p = p[end+1:]
	}
}

// bases returns the base names of the logs (in the folder of the file) of which
// the file called name may be a generation, without a repetition; "" stands for
// any log in that folder. Several are possible: app-1.log may belong to app.log,
// or be a log itself, which the caller must know. Habits of one's own
// (newHabits with patterns) cannot be read backwards: nil.
func (h habits) bases(name string) []string {
	if h.custom {
		return nil
	}
	var list []string
	add := func(base string) {
		if !slices.Contains(list, base) {
			list = append(list, base)
		}
	}
	plain := trimCompression(name)
	if plain != name {
		add(plain)
	}
	if _, ok := stampedMark(plain); ok {
		add("")
		return list
	}
	for i := len(plain) - 1; i > 0 && i >= len(plain)-1-maxMark; i-- {
		if _, ok := markBehind(plain[i:]); ok {
			add(plain[:i])
		}
	}
	stem, ext := splitExt(plain)
	for i := len(stem) - 1; i > 0 && i >= len(stem)-1-maxMark; i-- {
		if _, ok := markInside(stem[i:], ext); ok {
			add(stem[:i] + ext)
		}
	}
	return list
}

// globs returns the folders in which generations of a log may lie, relative to
// its own, with slashes and without a repetition; "." is always the first. They
// are doublestar patterns: a folder in a pattern may have wildcards, and what is
// special in a log's name is escaped.
func (h habits) globs(logName string) []string {
	list := []string{"."}
	for _, p := range h.patterns {
		if dir := path.Dir(expandPattern(p, logName)); !slices.Contains(list, dir) {
			list = append(list, dir)
		}
	}
	return list
}

// A pattern is one of the habits' own, for one log.
type pattern struct {
	log   string // path of the log, with slashes as the others
	begin string // what every match begins with: soon compared
	glob  string
}

// patternsOf are the habits' own patterns for the log at the path log.
func (h habits) patternsOf(log string) []pattern {
	list := make([]pattern, 0, len(h.patterns))
	log = filepath.ToSlash(log)
	for _, p := range h.patterns {
		glob := path.Join(escapePattern(path.Dir(log)), expandPattern(p, path.Base(log)))
		begin := glob
		if i := strings.IndexAny(glob, `*?[{\`); i >= 0 {
			begin = glob[:i]
		}
		list = append(list, pattern{log, begin, glob})
	}
	return list
}

func (p pattern) matches(path string) bool {
	return strings.HasPrefix(path, p.begin) && path != p.log &&
		(doublestar.MatchUnvalidated(p.glob, path) || doublestar.MatchUnvalidated(p.glob, trimCompression(path)))
}

func expandPattern(p, logName string) string {
	stem, ext := splitExt(logName)
	return strings.NewReplacer(
		"{name}", escapePattern(logName),
		"{stem}", escapePattern(stem),
		"{ext}", escapePattern(ext),
	).Replace(p)
}

var patternEscapes = strings.NewReplacer(
	`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`, `{`, `\{`, `}`, `\}`, `,`, `\,`)

func escapePattern(s string) string { return patternEscapes.Replace(s) }

// splitExt cuts a name at its last dot: "app.log" is "app" and ".log". A name
// that only begins with a dot has no extension.
func splitExt(name string) (stem, ext string) {
	if i := strings.LastIndexByte(name, '.'); i > 0 {
		return name[:i], name[i:]
	}
	return name, ""
}

// compression returns how a file is compressed, going by its name: "gz", "zst"
// or "" for not at all.
func compression(name string) string {
	for _, kind := range [...]string{"gz", "zst"} {
		if len(name) > len(kind)+1 && strings.HasSuffix(name, kind) && name[len(name)-len(kind)-1] == '.' {
			return kind
		}
	}
	return ""
}

// trimCompression returns name without the .gz or .zst behind it.
func trimCompression(name string) string {
	if kind := compression(name); kind != "" {
		return name[:len(name)-len(kind)-1]
	}
	return name
}
