package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/logcatchsys/logcatchsys/internal/traffic"
	"github.com/logcatchsys/logcatchsys/logconfig"
)

// sources are the logs to write, each path once; what is left out is said on text.
func (f *writeFlags) sources(text io.Writer) ([]traffic.Source, error) {
	var all []traffic.Source
	if len(f.paths) > 0 {
		all = namedPaths(f.paths)
	} else {
		file, err := logconfig.Find(f.config)
		if err != nil {
			return nil, err
		}
		c, err := logconfig.Load(file)
		if err != nil {
			return nil, err
		}
		all = configured(c, text)
	}
	all, err := unique(all, text)
	if err == nil && len(all) == 0 {
		err = errors.New("no path to write")
	}
	return all, err
}

// namedPaths reads name=path or path. A path without a name is called as its file is, without the
// extension; a second one of that name gets -2 and so on, as sequences must differ.
func namedPaths(args []string) []traffic.Source {
	var all []traffic.Source
	used := map[string]bool{}
	for _, arg := range args {
		name, path, ok := strings.Cut(arg, "=")
		if !ok {
			path = arg
			stem := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
			name = stem
			for i := 2; used[name]; i++ {
				name = fmt.Sprintf("%s-%d", stem, i)
			}
		}
		used[name] = true
		all = append(all, traffic.Source{Name: name, Path: path})
	}
	return all
}

// configured are the sources of a configuration; a glob stands for one file that satisfies it.
func configured(c *logconfig.Config, text io.Writer) []traffic.Source {
	var all []traffic.Source
	for _, s := range c.Sources {
		path := s.Path
		if s.Glob {
			var ok bool
			if path, ok = satisfy(s.Path); !ok || excluded(path, s.Exclude) {
				fmt.Fprintf(text, "%s: skipped: no easy name for the pattern %s\n", s.Name, shown(s.Path))
				continue
			}
		}
		all = append(all, traffic.Source{Name: s.Name, Path: path})
	}
	return all
}

// unique leaves out paths that come again: two rotations of one log would disturb each other.
func unique(all []traffic.Source, text io.Writer) ([]traffic.Source, error) {
	var kept []traffic.Source
	byPath := map[string]string{}
	names := map[string]bool{}
	for _, s := range all {
		path, err := filepath.Abs(s.Path)
		switch {
		case err != nil:
			return nil, err
		case s.Name == "" || s.Path == "":
			return nil, fmt.Errorf("paths: %q=%q needs a name and a path", s.Name, s.Path)
		case byPath[path] != "":
			fmt.Fprintf(text, "%s: skipped: %s is written as %s\n", s.Name, shown(path), byPath[path])
			continue
		case names[s.Name]:
			return nil, fmt.Errorf("paths: the name %s is given twice", s.Name)
		}
		byPath[path], names[s.Name] = s.Name, true
		kept = append(kept, traffic.Source{Name: s.Name, Path: path})
	}
	return kept, nil
}

// satisfy makes a name that matches a doublestar pattern, if one is easily made.
func satisfy(pattern string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; c {
		case '*':
			for i+1 < len(pattern) && pattern[i+1] == '*' {
				i++
			}
			b.WriteString("sim")
		case '?':
			b.WriteByte('s')
		case '[':
			return "", false
		case '{':
			length := strings.IndexByte(pattern[i:], '}')
			if length < 0 {
				return "", false
			}
			first, _, _ := strings.Cut(pattern[i+1:i+length], ",")
			b.WriteString(first)
			i += length
		case '\\':
			if i++; i < len(pattern) {
				b.WriteByte(pattern[i])
			}
		default:
			b.WriteByte(c)
		}
	}
	ok, err := doublestar.Match(pattern, b.String())
	return b.String(), ok && err == nil
}

// excluded says whether a pattern of exclude, on the base name or the whole path, matches.
func excluded(path string, exclude []string) bool {
	for _, pattern := range exclude {
		name := filepath.Base(path)
		if strings.Contains(pattern, "/") {
			name = path
		}
		if ok, _ := doublestar.Match(pattern, name); ok {
			return true
		}
	}
	return false
}

// shown is a path as people like to read it: relative where it lies below the working folder.
func shown(path string) string {
	here, err := filepath.Abs(".")
	if err != nil {
		return path
	}
	rel, err := filepath.Rel(here, path)
	if err != nil || !filepath.IsLocal(rel) {
		return path
	}
	return "." + string(filepath.Separator) + rel
}
