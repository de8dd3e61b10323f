package logconfig

import (
	"path/filepath"
	"strings"
)

// On Windows '\' separates folders and escapes nothing.
const separatorEscapes = filepath.Separator == '\\'

const special = `*?[]{}\`

// isGlob reports whether the path holds anything that a pattern gives a meaning.
func isGlob(path string) bool {
	for i := 0; i < len(path); i++ {
		switch path[i] {
		case '*', '?', '[', '{':
			return true
		case '\\':
			if !separatorEscapes {
				i++
			}
		}
	}
	return false
}

// escape returns the pattern that matches only this path. Without it, a
// configuration in a folder named "app[1]" would look for its logs in "app1".
func escape(path string) string {
	var b strings.Builder
	for _, c := range path {
		switch {
		case !strings.ContainsRune(special, c):
			b.WriteRune(c)
		case !separatorEscapes:
			b.WriteByte('\\')
			b.WriteRune(c)
		case c == '*' || c == '?' || c == '[' || c == '{':
			b.WriteString("[" + string(c) + "]")
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}

// unescape is the path that a pattern without wildcards stands for.
func unescape(path string) string {
	if separatorEscapes {
		return path
	}
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] == '\\' && i+1 < len(path) {
			i++
		}
		b.WriteByte(path[i])
	}
	return b.String()
}
