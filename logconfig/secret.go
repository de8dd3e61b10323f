package logconfig

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"unicode"
)

// maxSecret bounds a secret: the largest tokens have a few KiB.
const maxSecret = size(64 << 10)

// reference begins a secret that stands in a file of its own.
const reference = "file:"

// secretKeys are the keys of an output whose values are secrets. So are the
// values of headers, and the password of sasl.
var secretKeys = []string{"password", "api_key", "bearer_token", "token"}

// secret returns the node of the secret that n is or belongs to, or nil. A
// value that YAML takes for a map or a list may be a password without quotes.
func (n *node) secret() *node {
	var path []*node // from the root's field to n
	for ; n != nil; n = n.parent {
		if n.name != "" {
			path = append(path, n)
		}
	}
	slices.Reverse(path)
	if len(path) < 3 || !strings.EqualFold(path[0].name, "outputs") {
		return nil
	}
	switch key := strings.ToLower(path[2].name); {
	case slices.Contains(secretKeys, key):
		return path[2]
	case len(path) > 3 && (key == "headers" || key == "sasl" && strings.EqualFold(path[3].name, "password")):
		return path[3]
	}
	return nil
}

// secret returns the secret that is written at that place, or that stands in the
// file it refers to.
func (c *outputCheck) secret(at, text string) Secret {
	n := c.d.at[at]
	if n == nil || n.bad {
		return ""
	}
	path, refers := strings.CutPrefix(text, reference)
	if !refers {
		if what := wrongSecret(text); what != "" {
			c.d.fail(n, "%s", what)
		}
		return Secret(text)
	}
	if path == "" || strings.HasPrefix(path, "~/") {
		c.d.fail(n, "file: wants the path of a file (~ is not expanded; write ${HOME})")
		return ""
	}
	data, err := readLimited(resolve(c.folder, path), maxSecret)
	if err != nil {
		c.d.fail(n, "%s %s", n.referred(), unreadable(err))
		return ""
	}
	text, cut := strings.CutSuffix(string(data), "\n")
	if cut {
		text = strings.TrimSuffix(text, "\r")
	}
	if what := wrongSecret(text); what != "" {
		c.d.fail(n, "%s %s", n.referred(), what)
	}
	return Secret(text)
}

// referred names the file that a secret refers to, as it is written: the path may
// come from an environment variable, and be a secret that only begins like a reference.
func (n *node) referred() string {
	if path, ok := strings.CutPrefix(n.raw, reference); ok {
		return "the file " + quote(path)
	}
	return "the file that it refers to"
}

// wrongSecret says why the text can be no secret, or nothing.
func wrongSecret(text string) string {
	switch {
	case text == "":
		return "is empty"
	case len(text) > int(maxSecret):
		return fmt.Sprintf("is larger than %v", maxSecret)
	case strings.ContainsFunc(text, unicode.IsControl):
		return "holds a control character"
	}
	return ""
}

// unreadable is why a file cannot be used, without its path.
func unreadable(err error) string {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return "cannot be read: " + p.Err.Error()
	}
	return err.Error()
}
