package output

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/logcatchsys/logcatchsys/internal/record"
)

// natsSubject reads a subject template. What it makes must be a subject that can be
// published to: words between dots, without blanks and wildcards.
// https://docs.nats.io/nats-concepts/subjects
func natsSubject(text string) (template, error) {
	t, err := parseTemplate("subject", text)
	if err != nil {
		return t, err
	}
	for i, part := range t.literal {
		if strings.HasPrefix(part, "$") && i == 0 {
			return t, fmt.Errorf("subject: %s: what begins with $ is the server's own", text)
		}
		if strings.ContainsFunc(part, func(r rune) bool { return r != '.' && natsIllegal(r) }) {
			return t, fmt.Errorf("subject: %s: a subject has no blanks and no wildcards", text)
		}
	}
	subject := t.fill(&record.Batch{}, "", natsToken)
	if subject == "" || strings.Contains("."+subject+".", "..") {
		return t, fmt.Errorf("subject: %s: an empty word between dots", text)
	}
	return t, nil
}

// natsToken makes a value fit for one word of a subject.
func natsToken(value string) string {
	if value == "" {
		return "_"
	}
	return strings.Map(func(r rune) rune {
		if natsIllegal(r) {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(value, "_"))
}

// natsIllegal says what may not stand in a word of a subject.
func natsIllegal(r rune) bool {
	return strings.ContainsRune(".*>", r) || unicode.IsSpace(r) || unicode.IsControl(r) || r == utf8.RuneError
}

// natsWildcard is the subjects that the template makes, as one subject with wildcards.
func natsWildcard(t template) string {
	words := strings.Split(strings.Join(t.literal, "*"), ".")
	for i, word := range words {
		if strings.Contains(word, "*") { // a wildcard stands for a whole word
			words[i] = "*"
		}
	}
	return strings.Join(words, ".")
}
