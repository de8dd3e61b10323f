package record

import (
	"hash/fnv"
	"os"
	"strconv"
	"unicode/utf8"
)

// Colours that can be read on dark and on light ground.
var palette = [...]string{"\x1b[36m", "\x1b[32m", "\x1b[33m", "\x1b[35m", "\x1b[34m", "\x1b[96m", "\x1b[92m", "\x1b[95m", "\x1b[94m", "\x1b[31m"}

const plainColor = "\x1b[0m"

// colors follows no-color.org.
func colors() bool { return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" }

// terminal is text for the eye: a colour for each source, and nothing in a
// message that could move the cursor, change the title or clear the screen.
func (f *Format) terminal(b *Batch) {
	out := b.buf[:0]
	if f.color {
		out = append(out, colorOf(b.Source)...)
	}
	out = appendVisible(out, []byte(b.Source))
	out = append(out, ':')
	if f.color {
		out = append(out, plainColor...)
	}
	out = append(out, ' ')
	head, first := len(out), true
	b.Each(func(_ int64, message []byte) bool {
		if !first {
			out = append(out, out[:head]...)
		}
		first = false
		out = appendVisible(out, message)
		out = append(out, '\n')
		return true
	})
	if first {
		out = out[:0]
	}
	b.set(out)
}

// colorOf is the same for a name in every run.
func colorOf(source string) string {
	h := fnv.New32a()
	h.Write([]byte(source))
	return palette[h.Sum32()%uint32(len(palette))]
}

// appendVisible appends s with control characters (but tabs), C1 controls and
// bytes that are not UTF-8 in the form \x1b or \u009b.
func appendVisible(dst, s []byte) []byte {
	for len(s) > 0 {
		r, n := utf8.DecodeRune(s)
		switch {
		case r < ' ' && r != '\t', r == 0x7f, r == utf8.RuneError && n == 1:
			dst = append(dst, `\x`...)
			dst = appendHex(dst, s[0])
		case 0x80 <= r && r < 0xa0:
			dst = append(dst, `\u00`...)
			dst = appendHex(dst, byte(r))
		default:
			dst = append(dst, s[:n]...)
		}
		s = s[n:]
	}
	return dst
}

func appendHex(dst []byte, c byte) []byte {
	if c < 16 {
		dst = append(dst, '0')
	}
	return strconv.AppendUint(dst, uint64(c), 16)
}
