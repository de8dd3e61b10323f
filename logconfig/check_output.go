package logconfig

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
)

// maxBytes bounds the sizes of files.
const maxBytes = size(1 << 50)

// An outputCheck makes one Output of what was decoded.
type outputCheck struct {
	d      *document
	at     string // its place: outputs[0]
	n      *node
	raw    *rawOutput
	o      *Output
	folder string // of the configuration
}

// checkOutputs returns the outputs; the dead letters are in the folder state unless
// it is said where.
func (d *document) checkOutputs(raws []rawOutput, folder, state string) []Output {
	if len(raws) > maxOutputs {
		d.fail(d.at["outputs"], "%d outputs; at most %d", len(raws), maxOutputs)
	}
	outs := make([]Output, len(raws))
	for i := range raws {
		n := d.outputs[i]
		outs[i] = raws[i].output(n)
		if n.bad {
			continue
		}
		c := &outputCheck{d: d, at: index("outputs", i), n: n, raw: &raws[i], o: &outs[i], folder: folder}
		d.checkName(n)
		if c.checkKeys() {
			c.checkCommon(state)
			c.checkTLS()
			c.checkSecrets()
			typeChecks[c.o.Type](c)
		}
	}
	d.checkShared(outs)
	return outs
}

// given reports whether the output has a value of its own for the key.
func (c *outputCheck) given(key string) bool { return c.node(key) != nil }

// node is the value of the key, nil if it is not given.
func (c *outputCheck) node(key string) *node { return c.d.at[c.at+"."+key] }

// wrong reports whether a problem with the value was noted.
func (c *outputCheck) wrong(key string) bool {
	n := c.node(key)
	return n != nil && n.bad
}

// has reports whether the type has the key.
func (c *outputCheck) has(key string) bool {
	_, ok := keysOfType(c.o.Type)[key]
	return ok
}

// text reports whether the key is given, and is text that is not empty.
func (c *outputCheck) text(key, value string) bool {
	n := c.node(key)
	switch {
	case n == nil || n.bad:
	case value == "":
		c.d.fail(n, "is empty")
	case strings.ContainsFunc(value, unicode.IsControl):
		c.d.fail(n, "holds a control character")
	default:
		return true
	}
	return false
}

// checkKeys reports whether the type is known, and notes keys that it does not
// have and those that it lacks.
func (c *outputCheck) checkKeys() bool {
	known := strings.Join(Types(), ", ")
	if !c.given("type") {
		c.d.fail(c.n, "the key type is missing: %s", known)
		return false
	}
	if outputTypes[c.o.Type] == nil {
		c.d.oneOf(c.at+".type", c.o.Type, Types()...)
		return false
	}
	for key := range keysOfType("") {
		if !c.given(key) || c.has(key) {
			continue
		}
		if c.o.Type == "elasticsearch" && key == "format" {
			c.d.fail(c.node(key), "is not for type elasticsearch, which has a format of its own (ECS documents)")
			continue
		}
		with := typesWith(key)
		if len(with) > 1 {
			last := len(with) - 1
			with = []string{"s " + strings.Join(with[:last], ", "), with[last]}
		} else {
			with[0] = " " + with[0]
		}
		c.d.fail(c.node(key), "is a key of type%s only", strings.Join(with, " and "))
	}
	c.missing("", keysOfType(c.o.Type))
	return true
}

// missing notes the required keys that are not given; block is where they belong, or "".
func (c *outputCheck) missing(block string, known keys) {
	n, prefix := c.n, ""
	if block != "" {
		n, prefix = c.node(block), block+"."
	}
	var lacking []string
	for _, key := range known.sorted() {
		if known[key] == must && !c.given(prefix+key) {
			lacking = append(lacking, key)
		}
	}
	switch len(lacking) {
	case 0:
	case 1:
		c.d.fail(n, "the key %s is missing", lacking[0])
	default:
		c.d.fail(n, "the keys %s are missing", strings.Join(lacking, ", "))
	}
}

// checkCommon checks what every type has, and the choices of those that have them.
func (c *outputCheck) checkCommon(state string) {
	d, raw, at := c.d, c.raw, c.at
	within(d, at+".batch.bytes", raw.Batch.Bytes, 1<<10, 64<<20)
	within(d, at+".batch.records", raw.Batch.Records, 1, 1_000_000)
	within(d, at+".batch.age", raw.Batch.Age, time.Millisecond, time.Hour)
	within(d, at+".timeout", raw.Timeout, time.Millisecond, time.Hour)
	within(d, at+".retry.initial", raw.Retry.Initial, time.Millisecond, time.Hour)
	within(d, at+".retry.max", raw.Retry.Max, time.Millisecond, 24*time.Hour)
	if n := c.node("retry"); raw.Retry.Initial > raw.Retry.Max && !c.wrong("retry.initial") && !c.wrong("retry.max") {
		d.fail(n, "initial is longer than max")
	}
	if c.given("dead_letter") {
		if d.checkFile(at+".dead_letter", raw.DeadLetter) {
			c.o.DeadLetter = resolve(c.folder, raw.DeadLetter)
		}
	} else if c.has("tls") && state != "" {
		c.o.DeadLetter = filepath.Join(state, "dead-letter-"+c.n.name+".jsonl")
	}
	d.oneOf(at+".format", raw.Format, formats...)
	if known := compression[c.o.Type]; known != nil {
		d.oneOf(at+".compression", raw.Compression, known...)
	}
}

// checkShared notes outputs that would write into each other, and those that nobody can.
func (d *document) checkShared(outs []Output) {
	files := map[string]*node{} // the output that writes it
	taken := func(i int, key, path string) {
		n := d.outputs[i]
		if path == "" || n.bad {
			return
		}
		first := files[path]
		if first == nil {
			files[path] = n
			return
		}
		at := d.at[index("outputs", i)+"."+key]
		if at == nil {
			at = n
		}
		d.fail(at, "the same path as output %s on line %d", first.name, first.line)
	}
	var stdout *node
	for i, o := range outs {
		n := d.outputs[i]
		switch {
		case o.Type == "stdout" && stdout != nil:
			d.fail(n, "a second output of type stdout, besides %s on line %d", stdout.name, stdout.line)
		case o.Type == "stdout":
			stdout = n
		}
		taken(i, "path", o.Path)
		taken(i, "dead_letter", o.DeadLetter)
	}
}

// labels returns the names of the labels that templates of the output want.
func (o *Output) labels() []string {
	var names []string
	for _, t := range append([]string{o.Path, o.Topic, o.Key, o.Subject, o.Index}, slices.Collect(maps.Values(o.Labels))...) {
		names = append(names, labelsOf(t)...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
