package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// maxDepth bounds the tree, which may have a loop. Branch pages hold at least two
// children, so that a sound file cannot come near it.
const maxDepth = 48

// verifyFile reads the whole tree of a checkpoint before bbolt sees the file and
// returns how many records it holds. bbolt trusts what it maps: on a bad page it
// panics (in goroutines of its own, too), reads past the end of the file
// (SIGBUS), loops, or silently gives other keys than were stored.
//
// It never writes. The error is a *DamagedError, or says why path cannot be read.
func verifyFile(path string) (uint64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("opening the checkpoint: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return 0, fmt.Errorf("checkpoint %s: %w", path, err)
	}
	v := &verifier{path: path, f: f}
	if err := v.metas(st.Size()); err != nil {
		return 0, err
	}
	if err := v.root(); err != nil {
		return 0, err
	}
	if v.stored == nil {
		return 0, v.damaged("its total is missing")
	}
	if *v.stored != v.found {
		return 0, v.damaged("%d records were stored, %d are there; or one is an older version of itself",
			v.stored.count, v.found.count)
	}
	return v.found.count, nil
}

type verifier struct {
	path   string
	f      io.ReaderAt
	meta   meta
	bufs   [][]byte // one page buffer a level, reused
	prev   []byte   // the key before the one at hand
	found  total
	stored *total
}

func (v *verifier) damaged(format string, args ...any) error {
	return &DamagedError{Path: v.path, What: fmt.Sprintf(format, args...)}
}

// badPage says which page is wrong, and where in the file it lies.
func (v *verifier) badPage(id uint64, format string, args ...any) error {
	return v.damaged("page %d (byte %d) %s", id, id*uint64(v.meta.pageSize), fmt.Sprintf(format, args...))
}

// metas reads both meta pages and takes the newer. Both must be valid: bbolt
// would fall back to the older one, and positions would jump back. Their
// contents lie in one disk sector, so a power cut cannot tear them.
func (v *verifier) metas(size int64) error {
	m0, err := v.readMeta(0, 0)
	if err != nil {
		return err
	}
	m1, err := v.readMeta(1, int64(m0.pageSize))
	if err != nil {
		return err
	}
	v.meta = m0
	older := m1
	if m1.txid > m0.txid {
		v.meta, older = m1, m0
	}
	switch {
	case m0.pageSize != m1.pageSize || v.meta.txid-older.txid != 1:
		return v.damaged("its meta pages do not belong together")
	case v.meta.freelist != noFreelist:
		// We never store one, and bbolt would believe what it says.
		return v.damaged("it has a free list, so this program did not write it")
	case v.meta.pages > uint64(size)/uint64(v.meta.pageSize):
		return v.damaged("it is cut off: %d bytes long, %d pages of %d bytes are in use",
			size, v.meta.pages, v.meta.pageSize)
	}
	return nil
}

func (v *verifier) readMeta(id uint64, at int64) (meta, error) {
	b := make([]byte, pageHeader+metaSize)
	n, err := v.f.ReadAt(b, at)
	if err != nil && err != io.EOF {
		return meta{}, fmt.Errorf("reading checkpoint %s: %w", v.path, err)
	}
	m, err := parseMeta(id, b[:n])
	if err != nil {
		return meta{}, v.damaged("%v", err)
	}
	return m, nil
}

// root reads the root page, which holds one bucket and nothing else. A small
// bucket lies in the root page itself.
func (v *verifier) root() error {
	id := v.meta.root
	p, err := v.readPage(id, 0)
	if err != nil {
		return err
	}
	if !p.leaf || p.count != 1 {
		return v.badPage(id, "should hold one bucket")
	}
	flags, name, value := p.leafElement(0)
	if flags != 1 || !bytes.Equal(name, bucketName) || len(value) < bucketHeader {
		return v.badPage(id, "should hold the bucket %q", bucketName)
	}
	if child := order.Uint64(value); child != 0 {
		return v.tree(child, 1, nil)
	}
	inline, err := parsePage(0, value[bucketHeader:])
	if err == nil && !inline.leaf {
		err = errors.New("is not a leaf page")
	}
	if err != nil {
		return v.badPage(id, "holds a bucket that %v", err)
	}
	return v.leaf(id, inline)
}

// tree checks the pages under id. first, if not nil, is the key under which the
// parent knows it: bbolt finds a page in its parent by its first key.
func (v *verifier) tree(id uint64, depth int, first []byte) error {
	if depth > maxDepth {
		return v.badPage(id, "is more than %d levels deep", maxDepth)
	}
	p, err := v.readPage(id, depth)
	if err != nil {
		return err
	}
	if first != nil && !bytes.Equal(first, p.firstKey()) {
		return v.badPage(id, "does not start with the key its parent has for it")
	}
	if p.leaf {
		return v.leaf(id, p)
	}
	for i := range p.count {
		key, child := p.branch(i)
		if err := v.tree(child, depth+1, key); err != nil {
			return err
		}
	}
	return nil
}

// leaf checks the records of a leaf page and adds them to the total. Since keys
// must rise from leaf to leaf, no page can be used twice.
func (v *verifier) leaf(id uint64, p page) error {
	for i := range p.count {
		flags, key, rec := p.leafElement(i)
		if flags != 0 {
			return v.badPage(id, "element %d has flags %#x", i, flags)
		}
		if bytes.Compare(key, v.prev) <= 0 {
			return v.badPage(id, "key %q is out of order", key)
		}
		v.prev = append(v.prev[:0], key...)
		if err := v.record(key, rec); err != nil {
			return v.badPage(id, "element %d: %v", i, err)
		}
	}
	return nil
}

func (v *verifier) record(key, rec []byte) error {
	if bytes.Equal(key, totalKey) {
		t, txid, err := parseTotal(rec)
		// The low half is enough, and all there is of it on a 32-bit machine.
		if err == nil && uint32(txid) != uint32(v.meta.txid) {
			err = fmt.Errorf("its total is of transaction %d, not of the last one, %d", txid, v.meta.txid)
		}
		v.stored = &t
		return err
	}
	if _, _, err := parseRecord(key, rec); err != nil {
		return err
	}
	if _, _, _, err := splitKey(key); err != nil {
		return err
	}
	v.found.add(rec)
	return nil
}

// readPage reads page id and its overflow pages into the buffer of its level.
func (v *verifier) readPage(id uint64, depth int) (page, error) {
	if id < 2 || id >= v.meta.pages {
		return page{}, v.badPage(id, "is used, but outside the file's pages 2 to %d", v.meta.pages-1)
	}
	for len(v.bufs) <= depth {
		v.bufs = append(v.bufs, make([]byte, v.meta.pageSize))
	}
	b := v.bufs[depth][:v.meta.pageSize]
	if err := v.readAt(b, id); err != nil {
		return page{}, err
	}
	extra := uint64(order.Uint32(b[12:]))
	if id+extra >= v.meta.pages {
		return page{}, v.badPage(id, "claims %d more pages, past the end", extra)
	}
	if extra > 0 {
		b = make([]byte, (extra+1)*uint64(v.meta.pageSize))
		if err := v.readAt(b, id); err != nil {
			return page{}, err
		}
	}
	p, err := parsePage(id, b)
	if err != nil {
		return page{}, v.badPage(id, "%v", err)
	}
	if want := (p.used - 1) / v.meta.pageSize; uint64(want) != extra {
		return page{}, v.badPage(id, "claims %d more pages, but fills %d", extra, want)
	}
	return p, nil
}

func (v *verifier) readAt(b []byte, id uint64) error {
	if _, err := v.f.ReadAt(b, int64(id)*int64(v.meta.pageSize)); err != nil {
		return fmt.Errorf("reading page %d of checkpoint %s: %w", id, v.path, err)
	}
	return nil
}
