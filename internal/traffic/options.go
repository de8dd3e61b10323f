package traffic

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Rotation is what becomes of a log when it is rotated.
type Rotation string

// The rotations.
const (
	Rename       Rotation = "rename"       // renamed; the writers go on in a new file
	RenameKeep   Rotation = "rename-keep"  // renamed; each writer adds Late lines to the old file first
	CopyTruncate Rotation = "copytruncate" // copied and emptied, the writers standing still meanwhile
	Delete       Rotation = "delete"       // removed after it was quiet for Settle
	Gzip         Rotation = "gzip"         // renamed, then compressed as gzip(1) does it
	Zstd         Rotation = "zstd"         // the same with zstd
	None         Rotation = "none"         // nothing
)

// Rotations lists them all.
var Rotations = []Rotation{Rename, RenameKeep, CopyTruncate, Delete, Gzip, Zstd, None}

// Naming is how the generations of a log are called.
type Naming string

// The namings.
const (
	Timestamp Naming = "timestamp" // <yyyymmddhhmmss>.txt, then <yyyymmddhhmmss>-1.txt, -2, …
	Index     Naming = "index"     // <name>.1, the older ones moved on to .2, .3, …
)

// Source is one log to write: the name that its numbered lines carry, and its path.
type Source struct{ Name, Path string }

// Options say what a Writer writes. Default gives usable ones.
type Options struct {
	Lines    int64   // lines of a round, over all writers of the path
	Rounds   int     // 0: until the context ends
	Rate     float64 // lines a second, over all writers of the path; 0: as fast as possible
	Size     int     // bytes a line is filled up to, its line end included
	Numbered bool    // numbered lines (see AppendNumbered) instead of plain ones
	From     uint64  // number of the first line of each writer
	Writers  int     // writers of the path, each with a handle and a sequence of its own
	Batch    int     // lines that go into one write(2) at most
	Split    bool    // each line in several write(2), cut anywhere

	Rotate     Rotation
	Late       int           // RenameKeep: lines each writer adds to the renamed file
	Settle     time.Duration // Delete: how long the writers stand still before the file is removed
	EveryLines int64         // rotate after so many lines, instead of at the end of each round
	Every      time.Duration // rotate in such intervals, instead of at the end of each round
	Jitter     bool          // intervals anywhere from 0 to twice Every
	Naming     Naming
	Seed       uint64 // of the cuts and of the jitter

	// Wrote, if set, is told after each write how many lines it held; by several goroutines.
	Wrote func(lines int)
	// Rotated, if set, is told after each rotation; by several goroutines.
	Rotated func(Turn)

	now func() time.Time // for tests of names that collide
}

// Turn is one rotation: the log, the generation that came of it ("" after Delete) and the number of
// lines written since the turn before.
type Turn struct {
	Source
	To    string
	Lines int64
}

// Default is 20 plain lines, 100 ms apart, then a rename.
func Default() Options {
	return Options{
		Lines: 20, Rounds: 1, Rate: 10, From: 1, Writers: 1, Batch: 1,
		Rotate: Rename, Late: 5, Settle: time.Second, Naming: Timestamp,
	}
}

// Validate reports all that is wrong with the options at once.
func (o Options) Validate() error {
	var errs []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	need(o.Lines >= 1, "lines: must be at least 1, is %d", o.Lines)
	need(o.Rounds >= 0, "rounds: must not be negative, is %d", o.Rounds)
	need(o.Rate >= 0, "rate: must not be negative, is %v", o.Rate)
	need(o.Size >= 0 && o.Size <= MaxLine, "size: must be from 0 to %d, is %d", MaxLine, o.Size)
	need(o.From >= 1 && o.From <= maxNumber/2, "from: must be from 1 to %d, is %d", uint64(maxNumber/2), o.From)
	need(o.Writers >= 1, "writers: must be at least 1, is %d", o.Writers)
	need(o.Batch >= 1, "batch: must be at least 1, is %d", o.Batch)
	need(o.Batch == 1 || !o.Split, "batch and split exclude each other")
	need(slices.Contains(Rotations, o.Rotate), "rotate: %q is none of %v", o.Rotate, Rotations)
	need(o.Naming == Timestamp || o.Naming == Index, "name: %q is neither %s nor %s", o.Naming, Timestamp, Index)
	need(o.Late >= 0, "late: must not be negative, is %d", o.Late)
	need(o.Settle >= 0, "settle: must not be negative, is %v", o.Settle)
	need(o.Every >= 0 && o.EveryLines >= 0, "every: must not be negative")
	need(o.Every == 0 || o.EveryLines == 0, "every: either lines or a duration, not both")
	need(!o.Jitter || o.Every > 0, "jitter: needs every with a duration")
	return errors.Join(errs...)
}

// rotatesInside says that rotations come while a round is written, not at its end.
func (o *Options) rotatesInside() bool { return o.Every > 0 || o.EveryLines > 0 }

func (o *Options) time() time.Time {
	if o.now != nil {
		return o.now()
	}
	return time.Now()
}
