package logtailf

import (
	"bytes"
	"unicode/utf8"
)

// A cutKind says what the next batch holds.
type cutKind int

const (
	cutNone      cutKind = iota // nothing yet: the line is not finished
	cutGrow                     // no line end in all of data: look at more of it
	cutLines                    // whole lines
	cutPiece                    // a piece of an over-long line, not the last
	cutLastPiece                // the last piece of an over-long line
)

// cut says how many of data's bytes the next batch takes. Data begins at the start
// of a line (piece 0) or inside an over-long one. Ended: data reaches to the end of
// what the file holds now. Final: nothing will follow, an unfinished last line counts.
func cut(data []byte, piece, maxLine int, ended, final bool) (int, cutKind) {
	if piece > 0 {
		return cutInside(data, maxLine, ended, final)
	}
	if n, kind := cutLinesOf(data, maxLine); kind != cutNone {
		return n, kind
	}
	switch {
	case !ended:
		return 0, cutGrow
	case final && len(data) > 0:
		return len(data), cutLines
	}
	return 0, cutNone
}

// cutInside cuts the next piece of an over-long line.
func cutInside(data []byte, maxLine int, ended, final bool) (int, cutKind) {
	if i := bytes.IndexByte(data[:min(len(data), maxLine+1)], '\n'); i >= 0 {
		return i + 1, cutLastPiece
	}
	switch {
	case len(data) > maxLine:
		return wholeRunes(data, maxLine), cutPiece
	case !ended:
		return 0, cutGrow
	case final && len(data) > 0:
		return len(data), cutLastPiece
	}
	return 0, cutNone
}

// cutLinesOf cuts as many finished lines as come before the first one that is too
// long, or the first piece of that one.
func cutLinesOf(data []byte, maxLine int) (int, cutKind) {
	if len(data) <= maxLine { // no line in it can be too long
		if n := bytes.LastIndexByte(data, '\n') + 1; n > 0 {
			return n, cutLines
		}
		return 0, cutNone
	}
	start := 0
	for start < len(data) {
		line := data[start:]
		i := bytes.IndexByte(line, '\n')
		if i >= 0 {
			line = line[:i]
		}
		if len(line) > maxLine {
			nuls := len(line) - len(bytes.TrimLeft(line, "\x00"))
			if len(line)-nuls > maxLine {
				if start > 0 {
					return start, cutLines
				}
				return nuls + wholeRunes(line[nuls:], maxLine), cutPiece
			}
		}
		if i < 0 {
			break
		}
		start += i + 1
	}
	if start > 0 {
		return start, cutLines
	}
	return 0, cutNone
}

// wholeRunes is the largest n <= limit at which b, which is longer, can be cut
// without splitting a character.
func wholeRunes(b []byte, limit int) int {
	for n := limit; n > 0 && n > limit-utf8.UTFMax; n-- {
		if utf8.RuneStart(b[n]) {
			return n
		}
	}
	return limit // not UTF-8
}
