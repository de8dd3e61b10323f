// Package record turns bytes into records and records into bytes. It knows
// nothing of files and networks.
package record

import (
	"sync/atomic"
	"time"
)

// A Batch is a run of whole records of one file: the contiguous bytes [From, To)
// in one pooled buffer. Either it holds one or more whole lines, or exactly one
// piece of an over-long line (Partial is set then).
//
// A batch has one owner at a time: the follower that fills it, then the output
// that writes it, then the pool again.
type Batch struct {
	Source  string    // name of the source
	File    string    // absolute path the file is followed under, also after a rotation
	Labels  string    // the source's labels as one JSON object, or empty
	Gen     string    // id of the generation: a record's id is Gen + ":" + its offset
	From    int64     // byte offset of Data[0] in the generation's content
	Data    []byte    // the bytes as they stand in the file; only the last line may lack its '\n'
	Count   int       // number of records in Data
	Partial *Partial  // set when Data is one piece of an over-long line
	Read    time.Time // when the bytes were read

	// Out is Data in the output's format. It may share memory with Data.
	Out []byte
	buf []byte // memory of Out, kept for reuse

	// Key and Mark are what the checkpoint stores once the output has durably
	// accepted the batch. Neither this package nor an output looks inside.
	Key  string
	Mark []byte

	// Accepted, if not nil, is set to To once the batch is accepted.
	Accepted *atomic.Int64
}

// A Partial marks one piece of an over-long line.
type Partial struct {
	Piece int  // 0 for the first
	Last  bool // the line ends with this piece
}

// To is the offset of the byte after the batch.
func (b *Batch) To() int64 { return b.From + int64(len(b.Data)) }
