//go:build linux

package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
)

// A bar of the plot; NaN as its value means that the measurement failed.
type bar struct {
	label, text string
	value       float64
	ours        bool
}

// Measures of the plot, in pixels.
const (
	plotWidth  = 820
	labelWidth = 230
	valueWidth = 200
	barHeight  = 18
	rowHeight  = 26
	plotTop    = 44
)

const plotStyle = `<style>
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 15px }
.ours { fill: #1a7f37 }
.other { fill: #8c959f }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.ours { fill: #3fb950 }
.other { fill: #6e7681 }
}
</style>
`

// plot draws horizontal bars, readable on a light and on a dark page.
func plot(title string, bars []bar) []byte {
	longest := 0.0
	for _, b := range bars {
		if !math.IsNaN(b.value) {
			longest = max(longest, b.value)
		}
	}
	var out bytes.Buffer
	height := plotTop + rowHeight*len(bars) + 8
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" role="img">`+"\n", plotWidth, height)
	fmt.Fprintf(&out, "<title>%s</title>\n%s<text class=\"title\" x=\"8\" y=\"24\">%[1]s</text>\n", escaped(title), plotStyle)
	for i, b := range bars {
		b.draw(&out, plotTop+rowHeight*i, longest)
	}
	out.WriteString("</svg>\n")
	return out.Bytes()
}

func (b bar) draw(out *bytes.Buffer, y int, longest float64) {
	width, class, text := 0.0, "other", b.text
	switch {
	case math.IsNaN(b.value):
		text = "not measured"
	case longest > 0:
		width = max(b.value/longest*(plotWidth-labelWidth-valueWidth), 1)
	}
	if b.ours {
		class = "ours"
	}
	base := y + barHeight - 4
	fmt.Fprintf(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n", labelWidth-8, base, escaped(b.label))
	fmt.Fprintf(out, "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"2\"/>\n", class, labelWidth, y, width, barHeight)
	fmt.Fprintf(out, "<text x=\"%.1f\" y=\"%d\">%s</text>\n", labelWidth+width+8, base, escaped(text))
}

func escaped(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s)) // a Buffer takes everything
	return b.String()
}
