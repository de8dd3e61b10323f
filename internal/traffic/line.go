package traffic

import (
	"bytes"
	"hash/crc32"
	"net/url"
	"strconv"
	"time"
)

// A numbered line is
//
//	<source>/w<writer> <number, 12 digits> [<filler> ]<checksum, 8 hex digits>
//
// The first word names the sequence, the number counts its lines, and the checksum (CRC-32C) covers
// all that stands before it, so that a line that was cut, glued to another or overlaid is known as such.
const (
	numberDigits = 12
	sumDigits    = 8
	maxNumber    = 1e18 // far from where uint64 wraps: no arithmetic here needs a check
	plainHead    = "Hello current time is "
	plainTime    = time.DateTime
	hexDigits    = "0123456789abcdef"
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	filler     = makeFiller(8 << 10)
)

// SequenceID is the first word of the numbered lines of one writer (counted from 1) of one source.
// Spaces, slashes and what is not plain ASCII in the name are percent-encoded.
func SequenceID(source string, writer int) string {
	return url.PathEscape(source) + "/w" + strconv.Itoa(writer)
}

// sequenceSource is the name of the source whose lines carry id.
func sequenceSource(id string) string {
	escaped, _, _ := bytes.Cut([]byte(id), []byte("/"))
	name, err := url.PathUnescape(string(escaped))
	if err != nil {
		return string(escaped)
	}
	return name
}

// AppendNumbered appends line number n of the sequence id, its line end included. The line is filled
// up to size bytes; a size smaller than the line needs is ignored.
func AppendNumbered(dst []byte, id string, n uint64, size int) []byte {
	start := len(dst)
	dst = append(dst, id...)
	dst = append(dst, ' ')
	dst = appendNumber(dst, n)
	dst = append(dst, ' ')
	if fill := size - (len(dst) - start) - sumDigits - 1; fill > 0 {
		dst = append(appendFiller(dst, n, fill-1), ' ')
	}
	dst = appendSum(dst, crc32.Checksum(dst[start:], castagnoli))
	return append(dst, '\n')
}

// ParseNumbered reads a numbered line without its line end. It is not ok if anything in the line is
// not as AppendNumbered wrote it. The id points into line.
func ParseNumbered(line []byte) (id []byte, n uint64, ok bool) {
	cut := len(line) - sumDigits
	if cut < 1 {
		return nil, 0, false
	}
	sum, ok := parseSum(line[cut:])
	if !ok || sum != crc32.Checksum(line[:cut], castagnoli) {
		return nil, 0, false
	}
	id, rest, _ := bytes.Cut(line[:cut], []byte(" "))
	number, _, ok := bytes.Cut(rest, []byte(" "))
	if !ok || bytes.IndexByte(id, '/') < 1 {
		return nil, 0, false
	}
	n, ok = parseNumber(number)
	return id, n, ok
}

// AppendPlain appends the line that the simulator writes unless numbers are asked for, with its line
// end, filled up to size bytes like a numbered one.
func AppendPlain(dst []byte, now time.Time, size int) []byte {
	start := len(dst)
	dst = append(dst, plainHead...)
	dst = now.AppendFormat(dst, plainTime)
	if fill := size - (len(dst) - start) - 1; fill > 0 {
		dst = appendFiller(append(dst, ' '), uint64(now.UnixNano()), fill-1)
	}
	return append(dst, '\n')
}

// IsPlain says whether line, without its line end, is a whole line of AppendPlain. Such a line has no
// checksum: if it was filled, a cut in the filler is not seen.
func IsPlain(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte(plainHead))
	if !ok || len(rest) < len(plainTime) {
		return false
	}
	for i, c := range rest[:len(plainTime)] {
		like := plainTime[i]
		if isDigit(like) != isDigit(c) || !isDigit(like) && c != like {
			return false
		}
	}
	return len(rest) == len(plainTime) || rest[len(plainTime)] == ' '
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func appendNumber(dst []byte, n uint64) []byte {
	var digits [20]byte
	s := strconv.AppendUint(digits[:0], n, 10)
	for i := len(s); i < numberDigits; i++ {
		dst = append(dst, '0')
	}
	return append(dst, s...)
}

func parseNumber(b []byte) (n uint64, ok bool) {
	if len(b) < numberDigits || len(b) > 19 || len(b) > numberDigits && b[0] == '0' {
		return 0, false
	}
	for _, c := range b {
		if !isDigit(c) {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, n <= maxNumber
}

func appendSum(dst []byte, sum uint32) []byte {
	for shift := 28; shift >= 0; shift -= 4 {
		dst = append(dst, hexDigits[sum>>shift&15])
	}
	return dst
}

func parseSum(b []byte) (sum uint32, ok bool) {
	for _, c := range b {
		switch {
		case isDigit(c):
			sum = sum<<4 | uint32(c-'0')
		case 'a' <= c && c <= 'f':
			sum = sum<<4 | uint32(c-'a'+10)
		default:
			return 0, false
		}
	}
	return sum, true
}

// appendFiller appends n bytes of text that differs from line to line, so that compressed
// generations are of a likely size.
func appendFiller(dst []byte, line uint64, n int) []byte {
	from := int(line * 37 % uint64(len(filler)/2))
	for n > 0 {
		piece := filler[from:min(from+n, len(filler))]
		dst = append(dst, piece...)
		n -= len(piece)
		from = 0
	}
	return dst
}

// makeFiller makes words of letters; the generator is fixed so that a line is the same in every run.
func makeFiller(n int) string {
	b := make([]byte, n)
	for i, x := 0, uint32(2463534242); i < n; i++ {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = 'a' + byte((x>>8)%26)
		if x%7 == 0 {
			b[i] = ' '
		}
	}
	return string(b)
}
