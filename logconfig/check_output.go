package logconfig

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// maxBytes bounds the sizes of files.
const maxBytes = size(1 << 50)

// checkOutputs returns the outputs, or the default one if the file has none.
func (d *document) checkOutputs(raws []rawOutput, folder string) []Output {
	if !d.given("outputs") {
		return []Output{{Name: "stdout", Type: "stdout", Format: "text", Keep: 5, Sync: true}}
	}
	if len(raws) > maxOutputs {
		d.fail(d.at["outputs"], "%d outputs; at most %d", len(raws), maxOutputs)
	}
	outs := make([]Output, len(raws))
	for i, raw := range raws {
		outs[i] = d.checkOutput(raw, i, folder)
	}
	d.checkShared(outs)
	return outs
}

func (d *document) checkOutput(raw rawOutput, i int, folder string) Output {
	at := index("outputs", i)
	n := d.outputs[i]
	o := Output{
		Name: n.name, Type: raw.Type, Format: raw.Format,
		MaxSize: int64(raw.MaxSize), Keep: raw.Keep, Sync: raw.Sync, Line: n.line,
	}
	if n.bad {
		return o
	}
	d.checkName(n)
	switch {
	case !d.given(at + ".type"):
		d.fail(n, "the key type is missing: stdout or file")
		return o
	case raw.Type == "file":
		d.checkFileOutput(raw, at, n, folder, &o)
	case raw.Type == "stdout":
		for _, key := range []string{"path", "max_size", "keep", "sync"} {
			if d.given(at + "." + key) {
				d.fail(d.at[at+"."+key], "is a key of type file only")
			}
		}
	default:
		d.oneOf(at+".type", raw.Type, "stdout", "file")
	}
	d.oneOf(at+".format", raw.Format, "json", "raw", "text")
	if !d.given(at + ".format") {
		o.Format = map[string]string{"stdout": "text", "file": "json"}[raw.Type]
	}
	return o
}

func (d *document) checkFileOutput(raw rawOutput, at string, n *node, folder string, o *Output) {
	within(d, at+".keep", raw.Keep, 1, 100_000)
	if raw.MaxSize != 0 {
		within(d, at+".max_size", raw.MaxSize, 1<<10, maxBytes)
	}
	if !d.given(at + ".path") {
		d.fail(n, "the key path is missing")
		return
	}
	if d.checkFile(at+".path", raw.Path) && d.checkTemplate(d.at[at+".path"], raw.Path) {
		o.Path = resolve(folder, raw.Path)
	}
}

// checkShared notes outputs that would write into each other, and those that nobody can.
func (d *document) checkShared(outs []Output) {
	paths := map[string]*node{}
	var stdout *node
	for i, o := range outs {
		switch n := d.outputs[i]; {
		case o.Type == "stdout" && stdout != nil:
			d.fail(n, "a second output of type stdout, besides %s on line %d", stdout.name, stdout.line)
		case o.Type == "stdout":
			stdout = n
		case o.Path != "" && paths[o.Path] != nil:
			first := paths[o.Path]
			d.fail(d.at[index("outputs", i)+".path"], "the same path as output %s on line %d", first.name, first.line)
		case o.Path != "":
			paths[o.Path] = n
		}
	}
}

// placeholders are what the path of a file output may hold.
var placeholders = []string{"{source}", "{host}", "{yyyy}", "{mm}", "{dd}", "{hh}"}

// checkTemplate reports whether all that stands in braces is known.
func (d *document) checkTemplate(n *node, template string) bool {
	for rest := template; ; {
		i := strings.IndexAny(rest, "{}")
		if i < 0 {
			return true
		}
		end := strings.IndexByte(rest[i:], '}')
		if rest[i] == '}' || end < 0 {
			d.fail(n, "a brace has no partner")
			return false
		}
		if holder := rest[i : i+end+1]; !slices.Contains(placeholders, holder) {
			d.fail(n, "%s is unknown; known are %s", n.part(holder), strings.Join(placeholders, " "))
			return false
		}
		rest = rest[i+end+1:]
	}
}

// part returns a part of the value for a message, or, if it is not in what was
// written and may so come from an environment variable, a word for it.
func (n *node) part(s string) string {
	if strings.Contains(n.raw, s) {
		return s
	}
	return "a placeholder"
}

// expand returns the path that a template stands for now.
func expand(template, source, host string, now time.Time) string {
	return strings.NewReplacer("{source}", source, "{host}", host,
		"{yyyy}", fmt.Sprintf("%04d", now.Year()), "{mm}", fmt.Sprintf("%02d", now.Month()),
		"{dd}", fmt.Sprintf("%02d", now.Day()), "{hh}", fmt.Sprintf("%02d", now.Hour())).Replace(template)
}
