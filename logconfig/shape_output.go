package logconfig

import "strings"

// shapeOutput returns an output with the defaults of its type.
func (d *document) shapeOutput(n *node, at string) any {
	d.at[at] = n
	if n.bad {
		return map[string]any{}
	}
	if n.kind != table {
		d.fail(n, "want a map with the key type")
		return map[string]any{}
	}
	known := keysOfType(typeOf(n))
	m := map[string]any{}
	d.eachKey(n, at, func(key, at string, f *node) { m[key] = d.shapeOutputKey(key, at, f) })
	addDefaults(m, known)
	return m
}

// typeOf returns the type of an output, or "" if it is not given.
func typeOf(n *node) string {
	for _, f := range n.fields {
		if strings.EqualFold(f.name, "type") && !f.bad {
			return f.text
		}
	}
	return ""
}

func (d *document) shapeOutputKey(key, at string, f *node) any {
	block, isBlock := blocks[key]
	switch {
	case f.bad || f.kind == null:
		return d.value(f, at)
	case isBlock && f.kind == table:
		d.at[at] = f
		m := map[string]any{}
		d.eachKey(f, at, func(key, at string, f *node) { m[key] = d.value(f, at) })
		addDefaults(m, block)
		return m
	case isBlock: // without the value: who writes sasl: … may have written a password
		d.at[at] = f
		d.fail(f, "want a map with the keys %s", strings.Join(block.sorted(), ", "))
		return nil
	case key == "headers" || key == "labels":
		return d.namedValues(f, at)
	}
	return d.value(f, at)
}

// addDefaults adds what is not given and has a default.
func addDefaults(m map[string]any, known keys) {
	for key, value := range known {
		if _, given := m[key]; given {
			continue
		}
		switch value.(type) {
		case nil, required:
		case keys:
			block := map[string]any{}
			addDefaults(block, blocks[key])
			m[key] = block
		default:
			m[key] = value
		}
	}
}
