package output

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/logcatchsys/logcatchsys/internal/record"
)

const (
	// ecsVersion is the version of the Elastic Common Schema that documents follow:
	// https://www.elastic.co/docs/reference/ecs
	ecsVersion = "8.11.0"

	// longestID is what Elasticsearch takes, in bytes; longestOffset is what our ids have
	// behind the generation's.
	longestID     = 512
	longestOffset = len(":") + 19

	// longestIndex is what Elasticsearch takes (255 bytes), less what a data stream puts
	// around its name for its own indices.
	longestIndex = 255 - len(".ds-") - len("-2006.01.02-000001")

	nanoseconds = "2006-01-02T15:04:05.000000000Z07:00"

	// elasticsearchLine is the longest line that surely passes: a document of six times its
	// size (a control character becomes \u0001) is below the 50 MB that Elasticsearch takes
	// in a string, the 100 MB that it takes in a request (http.max_content_length).
	elasticsearchLine = 7 << 20
)

// envelope is what stands in the lines of each record of b: text[:id] up to the offset in
// its id, text[id:] from there to the offset in its document.
func (o *elasticsearch) envelope(b *record.Batch) (text []byte, id int) {
	text = append(make([]byte, 0, 1<<10), `{"create":{"_index":"`...)
	text = record.AppendJSONString(text, indexName(o.index.fill(b, o.host, nil)))
	text = append(text, `","_id":"`...)
	text = append(record.AppendJSONString(text, generationID(b.Gen)), ':')
	id = len(text)
	text = append(text, "\"}}\n"+`{"@timestamp":"`...)
	text = b.Read.UTC().AppendFormat(text, nanoseconds)
	text = append(text, `","ecs":{"version":"`+ecsVersion+`"},"host":{"name":"`...)
	text = record.AppendJSONString(text, o.host)
	text = append(text, `"},"event":{"dataset":"`...)
	text = record.AppendJSONString(text, b.Source)
	text = append(text, `"},`...)
	text = append(text, o.labelsOf(b)...)
	if p := b.Partial; p != nil {
		text = append(text, `"logcatchsys":{"partial":{"piece":`...)
		text = strconv.AppendInt(text, int64(p.Piece), 10)
		text = strconv.AppendBool(append(text, `,"last":`...), p.Last)
		text = append(text, `}},`...)
	}
	text = append(text, `"log":{"file":{"path":"`...)
	text = record.AppendJSONString(text, b.File)
	return append(text, `"},"offset":`...), id
}

func appendDocument(out, action, document []byte, offset int64, message []byte) []byte {
	out = append(out, action...)
	out = strconv.AppendInt(out, offset, 10)
	out = append(out, document...)
	out = strconv.AppendInt(out, offset, 10)
	out = append(out, `},"message":"`...)
	out = record.AppendJSON(out, message)
	return append(out, "\"}\n"...)
}

// generationID is gen, or a hash where the ids of its records could be too long.
func generationID(gen string) string {
	if len(gen)+longestOffset <= longestID {
		return gen
	}
	sum := sha256.Sum256([]byte(gen))
	return hex.EncodeToString(sum[:])
}

// indexName makes a name lower-case and legal, by the rules of
// https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-indices-create
func indexName(name string) string {
	name = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune(`\/*?"<>|,#:`, r) {
			return '_'
		}
		return r
	}, strings.ToLower(strings.ToValidUTF8(name, "_")))
	name = strings.TrimLeft(name, "-_+")
	if len(name) > longestIndex {
		end := longestIndex
		for !utf8.RuneStart(name[end]) {
			end--
		}
		name = name[:end]
	}
	if strings.Trim(name, ".") == "" {
		return "logs"
	}
	return name
}

// labelsOf is the field of the labels, with a comma behind it, or nothing.
func (o *elasticsearch) labelsOf(b *record.Batch) string {
	if b.Labels == "" {
		return ""
	}
	if known, ok := o.labels.Load(b.Labels); ok {
		return known.(string)
	}
	var labels map[string]string
	if json.Unmarshal([]byte(b.Labels), &labels) != nil { // our own encoding
		return ""
	}
	text, _ := json.Marshal(plainLabels(labels)) // strings: cannot fail
	field := `"labels":` + string(text) + ","
	o.labels.Store(b.Labels, field)
	return field
}

// plainLabels is labels with names that are single fields, as ECS asks for: to
// Elasticsearch a dot means a field within a field, and a label cannot be a text and
// hold others at once. Names without dots stay as they are.
func plainLabels(labels map[string]string) map[string]string {
	plain := map[string]string{}
	names := slices.Sorted(maps.Keys(labels))
	for _, dotted := range []bool{false, true} {
		for _, name := range names {
			if strings.Contains(name, ".") != dotted {
				continue
			}
			field := strings.ReplaceAll(name, ".", "_")
			if strings.TrimSpace(field) == "" { // no name at all to Elasticsearch
				field = "_"
			}
			for _, taken := plain[field]; taken; _, taken = plain[field] {
				field += "_"
			}
			plain[field] = labels[name]
		}
	}
	return plain
}
