package logtailf

import (
	"path"
	"slices"
	"strings"
	"time"
)

// A mark is what the name of a generation has and the name of its log has not:
// an index, or a date with what stands behind it.
type mark struct {
	kind markKind
	// order holds numbers that grow with time, most significant first: a date as
	// yyyymmdd and then every number behind it. Time of day and counter need not
	// be told apart for that, which is as well: -07 may be either.
	order [maxNumbers]int64
	used  int
}

type markKind int

const (
	markIndex  markKind = iota + 1 // .N: the higher, the older
	markNumber                     // -N: the higher is older with some writers (logrotate) and newer with others (log4j2)
	markDate                       // local time
	markEpoch                      // since 1970 in ms
)

const (
	maxMark    = 48 // bytes in the longest mark
	maxNumbers = 6  // date, hour, minute, second, fraction, counter
	maxIndex   = 6  // digits of an index: eight are a date, ten an epoch
)

// compareNames is negative if the generation of logName called a is older than
// the one called b, positive if it is newer, and 0 if the names cannot tell:
// marks of different kinds, no mark, the same mark. So it orders the names of
// one kind, and no mixture of kinds; and names with a local time go wrong in the
// hour when summer time ends. Names may have folders and compression endings.
func compareNames(logName, a, b string) int {
	ma, oka := markOf(logName, trimCompression(path.Base(a)))
	mb, okb := markOf(logName, trimCompression(path.Base(b)))
	if !oka || !okb || ma.kind != mb.kind {
		return 0
	}
	c := slices.Compare(ma.order[:ma.used], mb.order[:mb.used])
	switch ma.kind {
	case markNumber:
		return 0
	case markIndex:
		return -c
	}
	return c
}

// markOf returns the mark in plain, a base name without a compression ending, as
// a generation of logName.
func markOf(logName, plain string) (mark, bool) {
	if rest, ok := strings.CutPrefix(plain, logName); ok && logName != "" {
		if m, ok := markBehind(rest); ok {
			return m, true
		}
	}
	stem, ext := splitExt(logName)
	if rest, ok := strings.CutPrefix(plain, stem); ok && stem != "" {
		if rest, ok = strings.CutSuffix(rest, ext); ok {
			if m, ok := markInside(rest, ext); ok {
				return m, true
			}
		}
	}
	return stampedMark(plain)
}

// markBehind reads what stands behind a log's whole name: .1, -20261122, …
func markBehind(s string) (mark, bool) {
	if s == "" || !isMarkSeparator(s[0]) {
		return mark{}, false
	}
	if n, ok := parseIndex(s[1:]); ok && s[0] == '.' {
		return newMark(markIndex, n), true
	}
	return parseStamp(s[1:])
}

// markInside reads what stands between a log's name and its extension:
// app-20261122.log, app.1.log, app-1.log.
func markInside(s, ext string) (mark, bool) {
	// An extension begins with a letter: the .10 of host-1.10 is none.
	if s == "" || !isMarkSeparator(s[0]) || len(ext) < 2 || !isLetter(ext[1]) {
		return mark{}, false
	}
	if n, ok := parseIndex(s[1:]); ok && s[0] != '_' {
		if s[0] == '-' {
			return newMark(markNumber, n), true
		}
		return newMark(markIndex, n), true
	}
	return parseStamp(s[1:])
}

// stampedMark reads the names that have nothing of their log's: <yyyymmddhhmmss>.txt,
// and with -1, -2 … for a second rotation in one second.
func stampedMark(plain string) (mark, bool) {
	const stamp = len("yyyymmddhhmmss")
	s, ok := strings.CutSuffix(plain, ".txt")
	if !ok || digitsOf(s) != stamp {
		return mark{}, false
	}
	if counter := s[stamp:]; counter != "" && (counter[0] != '-' || !isIndex(counter[1:])) {
		return mark{}, false
	}
	m, ok := parseStamp(s)
	return m, ok && m.kind == markDate
}

// parseIndex reads a whole index. Six digits that are a year and a month are a date.
func parseIndex(s string) (int64, bool) {
	if !isIndex(s) {
		return 0, false
	}
	if len(s) == maxIndex {
		if _, ok := yearMonthDay(s + "01"); ok {
			return 0, false
		}
	}
	return number(s), true
}

func isIndex(s string) bool {
	return s != "" && len(s) <= maxIndex && digitsOf(s) == len(s)
}

// parseStamp reads a date or an epoch and the numbers behind it, to the end of s.
func parseStamp(s string) (mark, bool) {
	if len(s) > maxMark {
		return mark{}, false
	}
	m, rest, ok := parseDay(s)
	if !ok {
		return mark{}, false
	}
	rest = strings.TrimSuffix(rest, "Z")
	for rest != "" {
		digits := digitsOf(rest[1:])
		if !strings.ContainsRune("-_.:T ", rune(rest[0])) || digits == 0 || !m.add(rest[1:1+digits]) {
			return mark{}, false
		}
		rest = rest[1+digits:]
	}
	return m, true
}

// parseDay reads the beginning of a stamp: a date in one of its forms, with the
// time of day where that is written without a gap, or an epoch.
func parseDay(s string) (m mark, rest string, ok bool) {
	digits := digitsOf(s)
	if digits == 4 {
		return parseGappedDay(s)
	}
	m, ok = parseDigits(s[:digits])
	return m, s[digits:], ok
}

// parseDigits reads yyyymm, yyyymmdd, yyyymmddhh, … to milliseconds, and an
// epoch in seconds or milliseconds.
func parseDigits(s string) (mark, bool) {
	switch len(s) {
	case 6:
		day, ok := yearMonthDay(s + "01")
		return newMark(markDate, day), ok
	case 8, 10, 12, 14, 17:
		if day, ok := yearMonthDay(s[:8]); ok && isTimeOfDay(s[8:]) {
			m := newMark(markDate, day)
			if len(s) > 8 {
				m.add(s[8:min(len(s), 14)])
			}
			if len(s) > 14 {
				m.add(s[14:])
			}
			return m, true
		}
	}
	ms := number(s)
	switch len(s) {
	case 10:
		ms *= 1000
	case 13:
	default:
		return mark{}, false
	}
	return newMark(markEpoch, ms), firstEpoch <= ms && ms < lastEpoch
}

// Years 1990 to 2100, in milliseconds. Ten digits are not an epoch before 2001
// and read as a date (yyyymmddhh) first, which they can be from 2033 on.
const (
	firstEpoch = 631152000_000
	lastEpoch  = 4133980800_000
)

// parseGappedDay reads 2026-11-22, 2026-11 and 2026-W47, also with . or _.
func parseGappedDay(s string) (m mark, rest string, ok bool) {
	year, rest := s[:4], s[4:]
	if rest != "" && isMarkSeparator(rest[0]) && digitsOf(rest[1:]) == 2 {
		gap, month := rest[0], rest[1:3]
		rest = rest[3:]
		day := "01"
		if rest != "" && rest[0] == gap && digitsOf(rest[1:]) == 2 {
			day, rest = rest[1:3], rest[3:]
		}
		n, ok := yearMonthDay(year + month + day)
		return newMark(markDate, n), rest, ok
	}
	rest = strings.TrimPrefix(rest, "-")
	if rest == "" || rest[0] != 'W' || digitsOf(rest[1:]) != 2 {
		return mark{}, "", false
	}
	n, ok := mondayOf(number(year), number(rest[1:3]))
	return newMark(markDate, n), rest[3:], ok
}

// yearMonthDay reads eight digits that are a day from 1990 to 2100.
func yearMonthDay(s string) (int64, bool) {
	n := number(s)
	y, m, d := n/10000, n/100%100, n%100
	if y < 1990 || y > 2100 || m < 1 || m > 12 || d < 1 || d > 31 {
		return 0, false
	}
	t := time.Date(int(y), time.Month(m), int(d), 0, 0, 0, 0, time.UTC)
	return n, int64(t.Day()) == d
}

// mondayOf returns the first day of an ISO week as yyyymmdd.
func mondayOf(year, week int64) (int64, bool) {
	if year < 1990 || year > 2100 || week < 1 || week > 53 {
		return 0, false
	}
	t := time.Date(int(year), 1, 4, 0, 0, 0, 0, time.UTC) // always in week 1
	t = t.AddDate(0, 0, int(week-1)*7-(int(t.Weekday())+6)%7)
	y, m, d := t.Date()
	return int64(y*10000 + int(m)*100 + d), true
}

// isTimeOfDay says whether s is hh, hhmm, hhmmss or hhmmss and a fraction, or empty.
func isTimeOfDay(s string) bool {
	for i, limit := range [...]int64{23, 59, 60} {
		if len(s) >= 2*i+2 && number(s[2*i:2*i+2]) > limit {
			return false
		}
	}
	return true
}

func newMark(kind markKind, n int64) mark {
	return mark{kind: kind, order: [maxNumbers]int64{n}, used: 1}
}

// add appends a number of up to ten digits; false: too long, or too many.
func (m *mark) add(digits string) bool {
	if len(digits) > 10 || m.used == maxNumbers {
		return false
	}
	m.order[m.used] = number(digits)
	m.used++
	return true
}

// digitsOf counts the digits with which s begins.
func digitsOf(s string) int {
	n := 0
	for n < len(s) && '0' <= s[n] && s[n] <= '9' {
		n++
	}
	return n
}

// number is the value of up to eighteen digits.
func number(digits string) int64 {
	var n int64
	for i := range len(digits) {
		n = n*10 + int64(digits[i]-'0')
	}
	return n
}

func isMarkSeparator(c byte) bool { return c == '.' || c == '-' || c == '_' }

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
