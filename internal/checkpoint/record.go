package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// Everything lies in one bbolt bucket. A key starts with its kind; then come,
// for entries and notes, the length of the output's name (uvarint), the name,
// and for entries the caller's key. So all entries of an output are neighbours.
const (
	kindEntry = 'E' // a position
	kindNote  = 'U' // an output's undo note
	kindTotal = 'T' // one record: the sum over all others
)

var (
	bucketName = []byte("logcatchsys checkpoint")
	totalKey   = []byte{kindTotal}
)

// A record, the value of each key, is a version byte, the time it was last seen
// (Unix nanoseconds), a checksum of all of it and of its key, and the value.
const (
	recordVersion = 1
	recordHeader  = 1 + 8 + 8
)

func appendKey(dst []byte, kind byte, output, key string) []byte {
	dst = append(dst, kind)
	dst = binary.AppendUvarint(dst, uint64(len(output)))
	dst = append(dst, output...)
	return append(dst, key...)
}

// splitKey is the inverse of appendKey for entries and notes. The parts share
// memory with k.
func splitKey(k []byte) (kind byte, output, key []byte, err error) {
	if len(k) == 0 || k[0] != kindEntry && k[0] != kindNote {
		return 0, nil, nil, fmt.Errorf("unknown key %q", k)
	}
	n, w := binary.Uvarint(k[1:])
	if w <= 0 || n > uint64(len(k)-1-w) {
		return 0, nil, nil, fmt.Errorf("malformed key %q", k)
	}
	name := k[1+w:]
	if k[0] == kindNote && uint64(len(name)) != n {
		return 0, nil, nil, fmt.Errorf("malformed key %q", k)
	}
	return k[0], name[:n], name[n:], nil
}

func appendRecord(dst, key []byte, seen int64, value []byte) []byte {
	dst = slices.Grow(dst, recordHeader+len(value))
	dst = append(dst, recordVersion)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(seen))
	dst = binary.LittleEndian.AppendUint64(dst, checksum(key, recordVersion, seen, value))
	return append(dst, value...)
}

// parseRecord checks a record against its key and gives its parts; value shares
// memory with rec.
func parseRecord(key, rec []byte) (seen int64, value []byte, err error) {
	if len(rec) < recordHeader {
		return 0, nil, fmt.Errorf("the record of key %q is %d bytes long, too short", key, len(rec))
	}
	seen = int64(binary.LittleEndian.Uint64(rec[1:]))
	value = rec[recordHeader:]
	if checksum(key, rec[0], seen, value) != recordSum(rec) {
		return 0, nil, fmt.Errorf("the checksum of key %q is wrong", key)
	}
	if rec[0] != recordVersion {
		return 0, nil, fmt.Errorf("the record of key %q has version %d, this program knows %d (was it written by a newer one?)",
			key, rec[0], recordVersion)
	}
	return seen, value, nil
}

// recordSum is the checksum stored in a record of at least recordHeader bytes.
func recordSum(rec []byte) uint64 { return binary.LittleEndian.Uint64(rec[9:]) }

// checksum includes the key, so that a record found under another key is
// noticed, and the key's length, so that a byte cannot change sides.
func checksum(key []byte, version byte, seen int64, value []byte) uint64 {
	var h [13]byte
	h[0] = version
	binary.LittleEndian.PutUint64(h[1:], uint64(seen))
	binary.LittleEndian.PutUint32(h[9:], uint32(len(key)))
	var d xxhash.Digest
	d.Reset()
	d.Write(h[:])
	d.Write(key)
	d.Write(value)
	return d.Sum64()
}

// A total commits to the whole content of the store: how many records there are
// and the sum of their checksums. Checksums find a record that changed; the
// total finds one that vanished, and a page that is an older version of itself
// because a write was lost. It is kept by addition, so a change costs no walk.
//
// Its record has, in place of a time, the number of the transaction that wrote it,
// which the meta page has too: a page that holds a small store whole, the total
// included, can still be told from an older version of itself.
type total struct{ count, sum uint64 }

func (t *total) add(rec []byte)    { t.count++; t.sum += recordSum(rec) }
func (t *total) remove(rec []byte) { t.count--; t.sum -= recordSum(rec) }

func (t total) record(txid int) []byte {
	v := binary.LittleEndian.AppendUint64(nil, t.count)
	v = binary.LittleEndian.AppendUint64(v, t.sum)
	return appendRecord(nil, totalKey, int64(txid), v)
}

func parseTotal(rec []byte) (t total, txid int, err error) {
	if rec == nil {
		return total{}, 0, errors.New("its total is missing")
	}
	id, v, err := parseRecord(totalKey, rec)
	if err != nil {
		return total{}, 0, err
	}
	if len(v) != 16 {
		return total{}, 0, fmt.Errorf("its total is %d bytes long, not 16", len(v))
	}
	return total{binary.LittleEndian.Uint64(v), binary.LittleEndian.Uint64(v[8:])}, int(id), nil
}
