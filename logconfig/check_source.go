package logconfig

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"
)

func (d *document) checkSources(raws []rawSource, outs []Output, folder string) []Source {
	if !d.given("configpath") {
		root := *d.at[""]
		root.line = 0
		d.fail(&root, "configpath is missing: a map of names to paths")
	}
	all := make([]string, len(outs))
	for i, o := range outs {
		all[i] = o.Name
	}
	srcs := make([]Source, len(raws))
	for i, raw := range raws {
		srcs[i] = d.checkSource(raw, i, all, folder)
	}
	d.warnShared(srcs)
	d.warnUnused(srcs, outs)
	d.warnLabels(srcs, outs)
	d.checkTogether(srcs, outs)
	d.checkLoops(srcs, outs)
	return srcs
}

func (d *document) checkSource(raw rawSource, i int, all []string, folder string) Source {
	at := index("configpath", i)
	n := d.sources[i]
	s := Source{
		Name: n.name, Start: raw.Start, Symlinks: raw.Symlinks, MaxLine: int(raw.MaxLine),
		Outputs: all, Line: n.line,
	}
	if !n.bad {
		d.checkName(n)
		if !d.given(at + ".path") {
			d.fail(n, "the key path is missing")
		}
	}
	d.oneOf(at+".start", raw.Start, "beginning", "end")
	within(d, at+".max_line", raw.MaxLine, 16, 1<<30)
	if d.given(at+".path") && d.checkFile(at+".path", raw.Path) {
		s.Path, s.Glob = d.checkPattern(d.at[at+".path"], raw.Path, folder)
	}
	s.Exclude = d.checkExclude(at+".exclude", raw.Exclude, folder)
	s.Rotated = d.checkRotated(at+".rotated", raw.Rotated)
	if d.given(at + ".outputs") {
		s.Outputs = d.checkUsed(at+".outputs", raw.Outputs, all)
	}
	for _, l := range raw.Labels {
		if s.Labels == nil {
			s.Labels = make(map[string]string, len(raw.Labels))
		}
		s.Labels[l.Name] = l.Value
	}
	return s
}

// checkPattern makes a source's path absolute and says whether it is a pattern.
func (d *document) checkPattern(n *node, path, folder string) (abs string, glob bool) {
	if !isGlob(path) {
		return resolve(folder, unescape(path)), false
	}
	path = filepath.FromSlash(path)
	if !doublestar.ValidatePathPattern(path) {
		d.fail(n, "is no valid pattern: %s", quote(n.raw))
	}
	return resolve(escape(folder), path), true
}

// checkExclude makes patterns that hold a '/' absolute, as paths are.
func (d *document) checkExclude(at string, patterns []string, folder string) []string {
	var out []string
	for i, p := range patterns {
		n := d.find(index(at, i))
		if !d.checkPatternText(n, p, p) {
			continue
		}
		if strings.Contains(p, "/") && !strings.HasPrefix(p, "**/") {
			p = resolve(escape(folder), p)
		}
		out = append(out, p)
	}
	return out
}

// single matches what stands in braces and is no choice {a,b} of a pattern.
var single = regexp.MustCompile(`\{[^{},]*\}`)

// checkRotated checks patterns relative to the log's folder, which may hold
// {name}, {stem} and {ext}.
func (d *document) checkRotated(at string, patterns []string) []string {
	if !d.given(at) {
		return nil
	}
	out := make([]string, 0, len(patterns))
	for i, p := range patterns {
		n := d.find(index(at, i))
		plain := strings.NewReplacer("{name}", "x.log", "{stem}", "x", "{ext}", ".log").Replace(p)
		if !d.checkPatternText(n, p, plain) {
			continue
		}
		switch holder := single.FindString(plain); {
		case holder != "":
			d.fail(n, "%s is unknown; known are {name} {stem} {ext}", n.part(holder))
		case filepath.IsAbs(filepath.FromSlash(p)) || strings.HasPrefix(p, "/"):
			d.fail(n, "is relative to the log's folder; it cannot begin with /")
		case plain == p && !isGlob(p):
			d.want(n, "a pattern with {name}, {stem}, {ext} or a wildcard")
		default:
			out = append(out, p)
		}
	}
	return out
}

// checkPatternText reports whether p is text and plain, which is p with its
// placeholders filled in, a valid pattern.
func (d *document) checkPatternText(n *node, p, plain string) bool {
	switch {
	case n.bad:
	case p == "":
		d.fail(n, "holds an empty pattern")
	case !doublestar.ValidatePattern(plain):
		d.fail(n, "is no valid pattern: %s", quote(n.raw))
	default:
		return true
	}
	return false
}

// checkUsed checks the names of the outputs that a source names.
func (d *document) checkUsed(at string, names, all []string) []string {
	if len(names) == 0 {
		d.fail(d.at[at], "names no output; without the key it is all of them")
		return nil
	}
	known := make(map[string]bool, len(all))
	for _, name := range all {
		known[name] = true
	}
	used := map[string]bool{}
	for i, name := range names {
		switch n := d.find(index(at, i)); {
		case n.bad:
		case used[name]:
			d.fail(n, "names the output %s twice", quote(n.raw))
		case !known[name]:
			d.want(n, "the name of an output ("+strings.Join(all, ", ")+")")
		}
		used[name] = true
	}
	return names
}

// warnShared remarks on sources with one path.
func (d *document) warnShared(srcs []Source) {
	first := map[string]Source{}
	for i, s := range srcs {
		if f, ok := first[s.Path]; ok && s.Path != "" {
			d.warn(d.at[index("configpath", i)+".path"],
				"the same path as source %s on line %d; each delivers every line", f.Name, f.Line)
			continue
		}
		first[s.Path] = s
	}
}

// warnUnused remarks on outputs that no source uses.
func (d *document) warnUnused(srcs []Source, outs []Output) {
	used := map[string]bool{}
	for _, s := range srcs {
		for _, name := range s.Outputs {
			used[name] = true
		}
	}
	for i, o := range outs {
		if !used[o.Name] && d.given("outputs") && len(srcs) > 0 {
			d.warn(d.outputs[i], "no source uses this output")
		}
	}
}

// warnLabels remarks on labels that a template wants and a source does not have.
func (d *document) warnLabels(srcs []Source, outs []Output) {
	for i, o := range outs {
		wanted := o.labels()
		for _, s := range srcs {
			if len(wanted) == 0 || !slices.Contains(s.Outputs, o.Name) {
				continue
			}
			for _, name := range wanted {
				if _, ok := s.Labels[name]; !ok {
					d.warn(d.outputs[i], "{label.%s} is empty for the source %s, which has no such label", name, s.Name)
				}
			}
		}
	}
}

// checkTogether notes outputs whose paths are one file once a source's name and the rest
// are filled in: each would cut it back to what it has committed itself.
func (d *document) checkTogether(srcs []Source, outs []Output) {
	host, _ := os.Hostname()
	now := time.Now()
	type writer struct {
		output int
		what   string
	}
	files := map[string]writer{}
	for i, o := range outs {
		if o.DeadLetter != "" {
			files[o.DeadLetter] = writer{i, "its dead letters"}
		}
	}
	for i, o := range outs {
		for _, s := range srcs {
			if o.Path == "" || !slices.Contains(s.Outputs, o.Name) {
				continue
			}
			file := expand(o.Path, &s, host, now)
			w, taken := files[file]
			if !taken {
				files[file] = writer{i, "the source " + s.Name}
				continue
			}
			other := &outs[w.output]
			if w.output == i || o.Path == other.Path || o.Path == other.DeadLetter {
				continue // its own, or noted already
			}
			d.fail(d.at[index("outputs", i)+".path"], "writes the source %s to the file to which output %s on line %d writes %s",
				s.Name, other.Name, d.outputs[w.output].line, w.what)
			break
		}
	}
}

// checkLoops notes a source that would follow what is written from it: every
// line would come back for ever.
func (d *document) checkLoops(srcs []Source, outs []Output) {
	byName := map[string]*Output{}
	for i := range outs {
		byName[outs[i].Name] = &outs[i]
	}
	host, _ := os.Hostname()
	now := time.Now()
	for i, s := range srcs {
		for _, name := range s.Outputs {
			o := byName[name]
			if o == nil || s.Path == "" {
				continue
			}
			n := d.at[index("configpath", i)+".path"]
			switch {
			case o.Path != "" && s.matches(expand(o.Path, &s, host, now)):
				d.fail(n, "would follow what its own output %s writes; exclude that, or write elsewhere", name)
			case o.DeadLetter != "" && s.matches(o.DeadLetter):
				d.fail(n, "would follow the dead letters of its own output %s; exclude them, or write them elsewhere", name)
			}
		}
	}
}

// matches reports whether the source would follow that file.
func (s *Source) matches(file string) bool {
	if !s.Glob {
		return s.Path == file
	}
	for _, p := range s.Exclude {
		name := file
		if !strings.ContainsAny(p, `/`+string(filepath.Separator)) {
			name = filepath.Base(file)
		}
		if doublestar.PathMatchUnvalidated(filepath.FromSlash(p), name) {
			return false
		}
	}
	return doublestar.PathMatchUnvalidated(s.Path, file)
}
