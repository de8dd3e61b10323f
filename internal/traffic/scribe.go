package traffic

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// onCurrent is the value of scribe.late while the writer is not on a renamed file.
const onCurrent = -1

// scribe is one writer of a log: a handle, a sequence and a pace.
type scribe struct {
	log   *log
	id    string
	next  uint64
	bytes int64
	pace  pacer
	buf   []byte
	rng   *rand.Rand

	file    *os.File // nil: to be opened; closed by rotations too, under the log's mu
	renamed uint64   // the log's counter when file was opened
	late    int64    // lines it may still add to a renamed file
}

func newScribe(l *log, writer int) *scribe {
	return &scribe{
		log: l, id: SequenceID(l.source.Name, writer), next: l.From, late: onCurrent,
		pace: pacer{rate: l.Rate / float64(l.Writers)},
		rng:  rand.New(rand.NewPCG(l.Seed, uint64(writer))),
	}
}

// write writes n lines at the writer's pace.
func (s *scribe) write(ctx context.Context, n int64) {
	for n > 0 {
		due := s.pace.wait(ctx, n)
		if due == 0 {
			return
		}
		n -= due
		for due > 0 && ctx.Err() == nil {
			wrote, err := s.put(due)
			if err != nil {
				s.log.fail(fmt.Errorf("writing %s: %w", s.log.source.Path, err))
				return
			}
			due -= wrote
			if s.log.EveryLines > 0 {
				s.log.rotate(ctx, s.log.full)
			}
		}
	}
}

// put writes at most n lines with one write(2), or one line with several, and returns how many.
func (s *scribe) put(n int64) (int64, error) {
	l := s.log
	if l.Split {
		return 1, s.putPieces()
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	if err := s.ready(); err != nil {
		return 0, err
	}
	n = s.room(min(n, int64(l.Batch)))
	s.build(n)
	if _, err := s.file.Write(s.buf); err != nil {
		return 0, err
	}
	s.wrote(n)
	return n, nil
}

// room is how many of n lines may go into the file at once: no more than it may still get.
func (s *scribe) room(n int64) int64 {
	if s.late > 0 {
		return min(n, s.late)
	}
	if left := s.log.EveryLines - s.log.fresh.Load(); left > 0 {
		return min(n, left)
	}
	return n
}

// build makes the next n lines.
func (s *scribe) build(n int64) {
	s.buf = s.buf[:0]
	for i := range uint64(n) {
		if s.log.Numbered {
			s.buf = AppendNumbered(s.buf, s.id, s.next+i, s.log.Size)
		} else {
			s.buf = AppendPlain(s.buf, s.log.time(), s.log.Size)
		}
	}
}

// wrote books n lines of buf as written.
func (s *scribe) wrote(n int64) {
	s.next += uint64(n)
	s.bytes += int64(len(s.buf))
	if s.late > 0 {
		s.late -= n
	} else {
		s.log.fresh.Add(n)
	}
	if s.log.Wrote != nil {
		s.log.Wrote(int(n))
	}
}

// putPieces writes one line in up to five pieces. Where the handle survives a rotation, one may
// come between two pieces; elsewhere it would tear the line.
func (s *scribe) putPieces() error {
	l := s.log
	l.line.Lock()
	defer l.line.Unlock()
	l.mu.RLock()
	defer l.mu.RUnlock()
	if err := s.ready(); err != nil {
		return err
	}
	s.build(1)
	rest := s.buf
	for _, cut := range s.cuts() {
		if _, err := s.file.Write(s.buf[len(s.buf)-len(rest) : cut]); err != nil {
			return err
		}
		rest = s.buf[cut:]
		if l.Rotate == RenameKeep {
			l.mu.RUnlock()
			s.breathe()
			l.mu.RLock()
		} else {
			s.breathe()
		}
	}
	if _, err := s.file.Write(rest); err != nil {
		return err
	}
	s.wrote(1)
	return nil
}

// cuts are the ends of all pieces of buf but the last.
func (s *scribe) cuts() []int {
	cuts := make([]int, 1+s.rng.IntN(4))
	for i := range cuts {
		cuts[i] = s.rng.IntN(len(s.buf))
	}
	slices.Sort(cuts)
	return slices.Compact(cuts)
}

// breathe gives a reader the time to see half a line: a part of the time to the next one.
func (s *scribe) breathe() {
	if s.pace.rate > 0 {
		time.Sleep(min(time.Duration(float64(time.Second)/s.pace.rate/8), 10*time.Millisecond))
	}
}

// ready sees to it that file is the one the next line belongs to. The caller holds the log's mu.
func (s *scribe) ready() error {
	if s.file != nil && s.renamed != s.log.renamed {
		if s.late == onCurrent {
			s.late = int64(s.log.Late)
		}
		if s.late == 0 {
			s.close()
		}
	}
	if s.file != nil {
		return nil
	}
	f, err := openLog(s.log.source.Path)
	s.file, s.renamed, s.late = f, s.log.renamed, onCurrent
	return err
}

func (s *scribe) close() {
	if s.file != nil {
		_ = s.file.Close() // nothing is buffered: what Write took is with the system
		s.file = nil
	}
}

// openLog opens path for appending; its folder is made if it is missing.
func openLog(path string) (*os.File, error) {
	const flags = os.O_WRONLY | os.O_APPEND | os.O_CREATE
	f, err := os.OpenFile(path, flags, 0o644)
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	return os.OpenFile(path, flags, 0o644)
}
