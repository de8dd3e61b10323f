// Command hpcloudtail prints what is appended to files, with github.com/hpcloud/tail used the way its
// README and most programs use it. It is what bench compares the collector with.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/hpcloud/tail"
)

func main() {
	inotify := flag.Bool("inotify", false, "wait for notifications instead of looking every 250 ms")
	flag.Parse()
	if err := follow(flag.Args(), !*inotify); err != nil {
		fmt.Fprintln(os.Stderr, "hpcloudtail:", err)
		os.Exit(1)
	}
}

// follow prints the lines of all files that the patterns match, until the process is ended.
func follow(patterns []string, poll bool) error {
	lines := make(chan *tail.Line)
	followed := 0
	for _, pattern := range patterns {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		for _, path := range paths {
			t, err := tail.TailFile(path, tail.Config{ReOpen: true, Follow: true, Poll: poll, Logger: tail.DiscardingLogger})
			if err != nil {
				return err
			}
			followed++
			if len(patterns) == 1 && len(paths) == 1 {
				return printLines(t.Lines) // one channel less on the way of a line
			}
			go func() {
				for line := range t.Lines {
					lines <- line
				}
			}()
		}
	}
	if followed == 0 {
		return fmt.Errorf("no file matches %q", patterns)
	}
	return printLines(lines)
}

// printLines writes through a buffer that is flushed whenever no line is waiting.
func printLines(lines <-chan *tail.Line) error {
	out := bufio.NewWriterSize(os.Stdout, 64<<10)
	for {
		line, waiting := next(lines)
		if !waiting {
			if err := out.Flush(); err != nil {
				return err
			}
			line = <-lines
		}
		if line == nil {
			return out.Flush() // the channel is closed
		}
		if line.Err != nil {
			return line.Err
		}
		out.WriteString(line.Text) // a failure comes out of the next Flush
		out.WriteByte('\n')
	}
}

// next takes a line if one is waiting. The channel has no room: the sender gets one chance to bring
// the next line before there is none.
func next(lines <-chan *tail.Line) (line *tail.Line, waiting bool) {
	for try := range 2 {
		select {
		case line = <-lines:
			return line, true
		default:
		}
		if try == 0 {
			runtime.Gosched()
		}
	}
	return nil, false
}
