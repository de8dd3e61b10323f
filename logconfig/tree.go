package logconfig

import (
	"slices"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// Bounds for what a document may grow to. No configuration comes near; a nest
// of aliases that stands for a billion values, or for itself, does.
const (
	maxDepth = 32
	maxExtra = 20_000 // values more than the document has bytes
	maxKey   = 128    // bytes; also of the name of a source, which becomes part of file names
)

type kind int

const (
	scalar kind = iota
	list
	table
	null
)

// A node is one value of the document: aliases followed, merge keys merged,
// ${NAME} substituted. Every scalar is text: what a value means, its key says,
// and not how YAML guesses at it (a label 1.10 stays 1.10).
type node struct {
	kind   kind
	line   int    // of the key; of an item of a list, its own
	name   string // of the key; empty for the root and for items of a list
	parent *node
	text   string // of a scalar
	raw    string // the same before substitution: what messages may show
	items  []*node
	fields []*node // of a table, in the order of the file
	bad    bool    // a problem with it was reported
}

// key returns the key with those around it, for messages: configpath.nginx.path.
func (n *node) key() string {
	var names []string
	for ; n != nil; n = n.parent {
		if n.name != "" {
			names = append(names, n.name)
		}
	}
	slices.Reverse(names)
	return strings.Join(names, ".")
}

// grow fills out with the value that n stands for; out is bad if that could not be done.
func (d *document) grow(out *node, n *yaml.Node, depth int) {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if d.visited++; d.visited > d.limit {
		if d.visited == d.limit+1 { // once
			d.fail(out, "the aliases stand for more than %d values", d.limit)
		}
		out.bad = true
		return
	}
	if depth > maxDepth {
		d.fail(out, "nested more than %d deep", maxDepth)
		return
	}
	switch n.Kind {
	case yaml.ScalarNode:
		d.growScalar(out, n)
	case yaml.SequenceNode:
		out.kind = list
		for _, c := range n.Content {
			item := &node{parent: out, line: c.Line}
			d.grow(item, c, depth+1)
			out.items = append(out.items, item)
		}
	case yaml.MappingNode:
		out.kind = table
		d.growTable(out, n, depth)
	}
}

func (d *document) growScalar(out *node, n *yaml.Node) {
	out.raw = n.Value
	switch n.ShortTag() {
	case "!!str", "!!int", "!!float", "!!bool", "!!timestamp", "!!merge":
	case "!!null":
		out.kind = null
		return
	default:
		d.fail(out, "has a tag that is not known here; a value that begins with ! wants quotes")
		return
	}
	text, problem := substitute(n.Value, d.env)
	if problem != "" {
		d.fail(out, "%s", problem)
	}
	out.text = text
}

// growTable adds the fields of a map: its own, then what its merge keys (<<)
// bring and it does not have itself.
func (d *document) growTable(out *node, n *yaml.Node, depth int) {
	seen := map[string]*node{}
	var merged []*node
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		f := &node{parent: out, line: k.Line}
		if k.ShortTag() == "!!merge" {
			d.grow(f, v, depth+1)
			merged = append(merged, f)
			continue
		}
		if !d.named(f, k) {
			continue
		}
		if first := seen[f.name]; first != nil {
			d.fail(f, "is there twice, first on line %d", first.line)
			continue
		}
		d.grow(f, v, depth+1)
		seen[f.name] = f
		out.fields = append(out.fields, f)
	}
	for _, f := range merged {
		d.merge(out, seen, f)
	}
}

// merge adds the fields of a merge key's value: a map, or a list of maps of
// which an earlier one wins.
func (d *document) merge(out *node, seen map[string]*node, from *node) {
	switch {
	case from.bad:
	case from.kind == table:
		for _, f := range from.fields {
			if seen[f.name] == nil {
				seen[f.name] = f
				out.fields = append(out.fields, f)
			}
		}
	case from.kind == list:
		for _, item := range from.items {
			if item.kind != table { // YAML knows no lists in lists here
				d.fail(item, "<< wants a map or a list of maps")
				continue
			}
			d.merge(out, seen, item)
		}
	default:
		d.fail(from, "<< wants a map or a list of maps")
	}
}

// named gives the field its name and reports whether k can be one.
func (d *document) named(f *node, k *yaml.Node) bool {
	for k.Kind == yaml.AliasNode {
		k = k.Alias
	}
	switch name := k.Value; {
	case k.Kind != yaml.ScalarNode:
		d.fail(f, "a key must be text")
	case name == "":
		d.fail(f, "a key is empty")
	case len(name) > maxKey:
		d.fail(f, "a key is longer than %d bytes", maxKey)
	case strings.ContainsFunc(name, unicode.IsControl):
		d.fail(f, "the key %s holds a control character", quote(name))
	default:
		f.name = name
		return true
	}
	return false
}

// substitute puts environment variables in the place of ${NAME}, and $ in the
// place of $$. Any other $ stands for itself.
func substitute(s string, env func(string) (string, bool)) (text, problem string) {
	if !strings.Contains(s, "$") {
		return s, ""
	}
	var b strings.Builder
	for s != "" {
		i := strings.IndexByte(s, '$')
		if i < 0 || i == len(s)-1 {
			break
		}
		b.WriteString(s[:i])
		switch s = s[i+1:]; s[0] {
		case '$':
			b.WriteByte('$')
			s = s[1:]
		case '{':
			name, rest, closed := strings.Cut(s[1:], "}")
			if !closed || !isEnvName(name) {
				return "", "${ wants the name of an environment variable and }; a plain ${ is written $${"
			}
			value, ok := env(name)
			if !ok {
				return "", "the environment variable " + name + " is not set"
			}
			b.WriteString(value)
			s = rest
		default:
			b.WriteByte('$')
		}
	}
	b.WriteString(s)
	return b.String(), ""
}

func isEnvName(s string) bool {
	for i, c := range s {
		if c != '_' && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
