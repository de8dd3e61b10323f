package logconfig

import (
	"errors"
	"log/slog"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/agext/levenshtein"
	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/viper"
)

// delimiter stands between the keys of a path in viper. Names hold dots, and
// no key holds a control character.
const delimiter = "\x00"

// What viper decodes into. Rest gets the keys that are unknown: Metadata.Unused
// stays empty for a struct that has any other error.
type (
	rawConfig struct {
		ConfigPath      []rawSource
		Outputs         []rawOutput
		State           string
		HTTP            string
		Poll            time.Duration
		RotateWait      time.Duration `mapstructure:"rotate_wait"`
		MaxDeleted      size          `mapstructure:"max_deleted"`
		ShutdownTimeout time.Duration `mapstructure:"shutdown_timeout"`
		Log             rawLog
		Rest            map[string]any `mapstructure:",remain"`

		httpSet bool
	}
	rawLog struct {
		Level  slog.Level
		Format string
		Rest   map[string]any `mapstructure:",remain"`
	}
	rawSource struct {
		Path     string
		Exclude  []string
		Rotated  []string
		Start    string
		Symlinks bool
		MaxLine  size `mapstructure:"max_line"`
		Labels   []rawLabel
		Outputs  []string
		Rest     map[string]any `mapstructure:",remain"`
	}
	rawLabel struct{ Name, Value string }
)

// decode passes the values through a viper of their own, which adds the
// defaults, and notes what is not of its type or is unknown.
func (d *document) decode(values map[string]any) *rawConfig {
	v := viper.NewWithOptions(viper.KeyDelimiter(delimiter))
	for key, value := range map[string]string{
		"state": "./state", "http": "127.0.0.1:9477", "poll": "1s", "rotate_wait": "5s",
		"max_deleted": "0", "shutdown_timeout": "10s",
		"log" + delimiter + "level": "info", "log" + delimiter + "format": "text",
	} {
		v.SetDefault(key, value)
	}
	raw := new(rawConfig)
	root := d.at[""]
	if err := v.MergeConfigMap(values); err != nil {
		d.fail(root, "cannot be merged")
		return raw
	}
	err := v.Unmarshal(raw, viper.DecodeHook(convert), func(c *mapstructure.DecoderConfig) {
		c.WeaklyTypedInput = false
		// What mapstructure calls a field in its errors must be a key of d.at.
		c.MatchName = func(key, field string) bool { return key == strings.ToLower(field) }
	})
	d.noteTypes(err)
	raw.httpSet = v.InConfig("http")
	d.noteUnknown("", keysOf(reflect.TypeFor[rawConfig]()), raw.Rest)
	d.noteUnknown("log", keysOf(reflect.TypeFor[rawLog]()), raw.Log.Rest)
	sourceKeys := keysOf(reflect.TypeFor[rawSource]())
	for i, s := range raw.ConfigPath {
		d.noteUnknown(index("configpath", i), sourceKeys, s.Rest)
	}
	for i := range raw.Outputs {
		d.noteUnknownOutput(&raw.Outputs[i], index("outputs", i))
	}
	return raw
}

// noteUnknownOutput notes the keys of an output, and of its blocks, that no type has.
func (d *document) noteUnknownOutput(raw *rawOutput, at string) {
	d.noteUnknown(at, keysOfType(raw.Type).sorted(), raw.Rest)
	for block, rest := range map[string]map[string]any{
		"batch": raw.Batch.Rest, "retry": raw.Retry.Rest, "tls": raw.TLS.Rest, "sasl": raw.SASL.Rest,
	} {
		d.noteUnknown(at+"."+block, blocks[block].sorted(), rest)
	}
}

// noteTypes notes each error of convert in a tree of mapstructure's errors. No
// other text of theirs is shown: it could hold a value.
func (d *document) noteTypes(err error) {
	switch e := err.(type) {
	case nil:
	case *mapstructure.DecodeError:
		if inner := (*mapstructure.DecodeError)(nil); errors.As(e.Unwrap(), &inner) {
			d.noteTypes(e.Unwrap())
			return
		}
		what := "another type of value"
		if w := *new(wanted); errors.As(e, &w) {
			what = string(w)
		}
		d.want(d.find(e.Name()), what)
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			d.noteTypes(one)
		}
	case interface{ Unwrap() error }:
		d.noteTypes(e.Unwrap())
	default:
		d.fail(d.at[""], "cannot be decoded")
	}
}

// find returns the node behind mapstructure's name for a field, or the nearest around it.
func (d *document) find(name string) *node {
	name = strings.ToLower(name)
	for {
		if n := d.at[name]; n != nil {
			return n
		}
		name = name[:max(0, strings.LastIndexAny(name, ".["))]
	}
}

// maxKnown is how many keys a message lists: more than a type of output has,
// fewer than there are for an output without a type.
const maxKnown = 25

// noteUnknown notes the keys in rest, each with the nearest of the known ones.
func (d *document) noteUnknown(at string, known []string, rest map[string]any) {
	for key := range rest {
		n := d.find(strings.TrimPrefix(at+"."+key, "."))
		n.bad = false // being unknown is what is wrong with it, whatever it holds
		switch near := nearest(key, known); {
		case near != "":
			d.fail(n, "unknown key; did you mean %q?", near)
		case len(known) > maxKnown:
			d.fail(n, "unknown key")
		default:
			d.fail(n, "unknown key; known here are %s", strings.Join(known, ", "))
		}
	}
}

// keysOf returns the keys that a struct is decoded from.
func keysOf(t reflect.Type) []string {
	var keys []string
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("mapstructure")
		switch {
		case !f.IsExported() || strings.HasPrefix(tag, ","):
		case tag != "":
			keys = append(keys, tag)
		default:
			keys = append(keys, strings.ToLower(f.Name))
		}
	}
	return keys
}

// nearest returns the candidate that key is most likely a slip for: at most one
// edit for every three letters.
func nearest(key string, candidates []string) string {
	best, at := "", max(1, (len(key)+1)/3)+1
	for _, c := range candidates {
		if dist := levenshtein.Distance(strings.ToLower(key), c, nil); dist < at {
			best, at = c, dist
		}
	}
	return best
}

// wanted is the error of a value that is not of its type: what it should be.
type wanted string

func (w wanted) Error() string { return "want " + string(w) }

// convert is the decode hook: from text to what the field is.
func convert(from, to reflect.Value) (any, error) {
	isText, text := from.Kind() == reflect.String, ""
	if isText {
		text = from.String()
	}
	switch to.Interface().(type) {
	case time.Duration:
		if v, err := time.ParseDuration(text); err == nil {
			return v, nil
		}
		return nil, wanted("a duration such as 500ms or 10s")
	case size:
		return parseSize(text)
	case slog.Level:
		return parseLevel(text)
	case bool:
		if text == "true" || text == "false" {
			return text == "true", nil
		}
		return nil, wanted("true or false")
	case int:
		if v, err := strconv.Atoi(text); err == nil {
			return v, nil
		}
		return nil, wanted("a whole number")
	case string:
		if !isText {
			return nil, wanted("text")
		}
	case []string:
		if isText {
			return []string{text}, nil
		}
		if from.Kind() != reflect.Slice {
			return nil, wanted("a list")
		}
	}
	if to.Kind() == reflect.Struct && to.Type() != reflect.TypeFor[rawConfig]() && from.Kind() != reflect.Map {
		return nil, wanted("a map of keys")
	}
	return from.Interface(), nil
}

func parseLevel(s string) (slog.Level, error) {
	switch s {
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, wanted("debug, info, warn or error")
}
