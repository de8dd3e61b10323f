package output

import "github.com/logcatchsys/logcatchsys/internal/record"

// A joint watches the place where two batches meet. The pieces of an over-long raw
// line follow each other without a break; but what another source writes between
// two of them must not be glued to a line that may never end.
type joint struct {
	open bool   // what was written last lacks its line end
	key  string // of the batch that left it open; empty: unknown, from an earlier run
}

// needsBreak says whether a line end must be written before b.
func (j *joint) needsBreak(b *record.Batch) bool { return j.open && !j.continues(b) }

// continues says whether b goes on with the line that was left open.
func (j *joint) continues(b *record.Batch) bool {
	return j.open && b.Partial != nil && b.Partial.Piece > 0 && (j.key == "" || j.key == b.Key)
}

// wrote is told of each run of b's bytes that was written.
func (j *joint) wrote(b *record.Batch, run []byte) {
	if len(run) > 0 {
		j.open, j.key = run[len(run)-1] != '\n', b.Key
	}
}
