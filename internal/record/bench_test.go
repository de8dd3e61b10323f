package record

import (
	"bytes"
	"strings"
	"testing"
)

// benchmark encodes a batch of 256 KiB; MB/s is of output.
func benchmark(b *testing.B, name, line string) {
	f := format(b, name)
	x := batch(strings.Repeat(line, (256<<10)/len(line)), nil)
	x.Count = CountLines(x.Data)
	f.Encode(x)
	b.SetBytes(int64(len(x.Out)))
	b.ReportAllocs()
	for b.Loop() {
		f.Encode(x)
	}
}

var (
	ascii  = strings.Repeat("GET /index.html 200 ", 7)[:129] + "\n"
	quoted = strings.Repeat(`{"k":"v","n":1} `, 9)[:129] + "\n"
	utf    = strings.Repeat("ошибка записи 日本 ", 4) + "\n"
	broken = strings.Repeat("ошибка записи 日本 \xff", 4) + "\n"
)

func BenchmarkJSON(b *testing.B)       { benchmark(b, "json", ascii) }
func BenchmarkJSONQuoted(b *testing.B) { benchmark(b, "json", quoted) }
func BenchmarkJSONUTF8(b *testing.B)   { benchmark(b, "json", utf) }
func BenchmarkJSONBroken(b *testing.B) { benchmark(b, "json", broken) }
func BenchmarkText(b *testing.B)       { benchmark(b, "text", ascii) }
func BenchmarkRaw(b *testing.B)        { benchmark(b, "raw", ascii) }
func BenchmarkTerminal(b *testing.B)   { benchmark(b, "terminal", ascii) }

func BenchmarkCountLines(b *testing.B) {
	data := bytes.Repeat([]byte(ascii), 2000)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		CountLines(data)
	}
}
