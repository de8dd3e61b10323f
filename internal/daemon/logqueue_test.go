package daemon

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/logcatchsys/logcatchsys/logconfig"
)

// A reader that stands still delays nobody who logs. What there is room for comes in
// order when it goes on, and then how much is missing.
func TestLogWithoutReader(t *testing.T) {
	for format, note := range map[string]string{
		"text": `level=WARN msg="the reader of this log stood still: messages are missing here" dropped=`,
		"json": `"level":"WARN","msg":"the reader of this log stood still: messages are missing here","dropped":`,
	} {
		for name, text := range map[string]string{"lines": "", "bytes": strings.Repeat("x", 10<<10)} {
			t.Run(format+" "+name, func(t *testing.T) {
				r, w, err := os.Pipe()
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				defer w.Close()
				log, settings := NewLog(w)
				settings.Set(logconfig.Log{Format: format})
				const all = 3 * queuedLines
				for i := range all {
					log.Info("m", "n", fmt.Sprintf("<%d>", i), "text", text)
				}
				settings.Flush(time.Millisecond) // without its bound it would not end: nobody reads
				lines, dropped := bufio.NewReader(r), 0
				for n := 0; dropped == 0; n++ {
					line, err := lines.ReadString('\n')
					if err != nil {
						t.Fatal(err)
					}
					if _, rest, ok := strings.Cut(line, note); ok {
						if _, err := fmt.Sscanf(rest, "%d", &dropped); err != nil || n+dropped != all {
							t.Errorf("%d lines, then %q, of %d", n, line, all)
						}
					} else if !strings.Contains(line, fmt.Sprintf("<%d>", n)) {
						t.Fatalf("not line %d: %.200q", n, line)
					}
				}
				settings.Flush(time.Minute)
				log.Info("after")
				if line, err := lines.ReadString('\n'); err != nil || !strings.Contains(line, "after") {
					t.Errorf("%q, %v", line, err)
				}
			})
		}
	}
}
