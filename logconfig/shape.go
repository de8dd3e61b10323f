package logconfig

import (
	"maps"
	"strconv"
	"strings"
)

// sourceDefaults are those of the keys of every source, written as in a file.
var sourceDefaults = map[string]any{"start": "end", "max_line": "1MiB", "symlinks": "false"}

// emptyMap is {} where no map belongs. Viper drops an empty map, and an unknown
// key or a wrong type with it.
type emptyMap struct{}

// shape returns the document as viper shall have it, and notes which node is
// behind each name that mapstructure will give in its errors.
//
// Viper lower-cases the keys of maps and drops their order, so that two sources
// named App and app would become one. Therefore the maps whose keys are names
// (configpath, outputs, labels) go to viper as lists; the names stay in the nodes.
func (d *document) shape(root *node) map[string]any {
	m := map[string]any{}
	d.at[""] = root
	d.eachKey(root, "", func(key, at string, f *node) {
		switch key {
		case "configpath":
			d.sources, m[key] = d.nameList(f, at, "paths", d.shapeSource)
		case "outputs":
			d.outputs, m[key] = d.nameList(f, at, "outputs", d.shapeOutput)
		default:
			m[key] = d.value(f, at)
		}
	})
	if _, ok := m["outputs"]; !ok { // the default output has the defaults of any
		n := &node{kind: table, name: "stdout", parent: root}
		n.fields = []*node{{name: "type", parent: n, text: "stdout"}}
		d.outputs = []*node{n}
		m["outputs"] = []any{d.shapeOutput(n, index("outputs", 0))}
	}
	return m
}

// eachKey calls do for each key of the table, in lower case. Keys are taken
// whatever their case, as viper does, but not in two cases at once.
func (d *document) eachKey(t *node, at string, do func(key, at string, f *node)) {
	seen := map[string]*node{}
	for _, f := range t.fields {
		key := strings.ToLower(f.name)
		if first := seen[key]; first != nil {
			d.fail(f, "is there twice, first on line %d as %s", first.line, first.name)
			continue
		}
		seen[key] = f
		if at == "" && key == "http" && f.kind == null { // "empty switches it off"
			f.kind = scalar
		}
		do(key, strings.TrimPrefix(at+"."+key, "."), f)
	}
}

// value returns the node's value for viper: text, []any or map[string]any. What
// is missing or bad is nil, which viper and mapstructure pass over.
func (d *document) value(n *node, at string) any {
	d.at[at] = n
	if n.kind == null {
		d.fail(n, "has no value; leave it out instead")
	}
	switch {
	case n.bad:
		return nil
	case n.kind == list:
		items := make([]any, len(n.items))
		for i, item := range n.items {
			items[i] = d.value(item, index(at, i))
		}
		return items
	case n.kind == table && len(n.fields) == 0 && at != "log":
		return emptyMap{}
	case n.kind == table:
		m := map[string]any{}
		d.eachKey(n, at, func(key, at string, f *node) { m[key] = d.value(f, at) })
		return m
	}
	return n.text
}

// nameList returns the fields of a table of named things, and their values as a list.
func (d *document) nameList(n *node, at, things string, value func(*node, string) any) ([]*node, any) {
	d.at[at] = n
	switch {
	case n.bad:
		return nil, nil
	case n.kind != table:
		d.fail(n, "want a map of names to %s", things)
		return nil, nil
	case len(n.fields) == 0:
		d.fail(n, "names nothing")
		return nil, nil
	}
	values := make([]any, len(n.fields))
	for i, f := range n.fields {
		values[i] = value(f, index(at, i))
	}
	return n.fields, values
}

func index(at string, i int) string { return at + "[" + strconv.Itoa(i) + "]" }

// shapeSource returns a source in its long form; the short one is the path alone.
func (d *document) shapeSource(n *node, at string) any {
	d.at[at] = n
	m := maps.Clone(sourceDefaults)
	switch {
	case n.bad:
	case n.kind == scalar:
		m["path"] = d.value(n, at+".path")
	case n.kind == table:
		d.eachKey(n, at, func(key, at string, f *node) {
			if key == "labels" {
				m[key] = d.shapeLabels(f, at)
			} else {
				m[key] = d.value(f, at)
			}
		})
	default:
		d.fail(n, "want a path, or a map with the key path")
	}
	return m
}

// shapeLabels returns the labels as a list; labels without a label are none.
func (d *document) shapeLabels(n *node, at string) any {
	if n.kind == table && len(n.fields) == 0 {
		return nil
	}
	return d.namedValues(n, at)
}

// namedValues returns a map of names to values as a list of both.
func (d *document) namedValues(n *node, at string) any {
	_, v := d.nameList(n, at, "values", func(f *node, at string) any {
		d.at[at] = f
		return map[string]any{"name": f.name, "value": d.value(f, at+".value")}
	})
	return v
}
