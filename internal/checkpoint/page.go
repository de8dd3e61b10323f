package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
)

// The layout of bbolt's pages, as far as a reader needs it. Numbers are in the
// byte order of the machine that wrote them.
//
//	page:   id 8, flags 2, count 2, overflow 4; then count elements; then their data
//	branch element: pos 4, ksize 4, child 8
//	leaf element:   flags 4, pos 4, ksize 4, vsize 4
//	meta:   magic 4, version 4, page size 4, flags 4, root page 8, sequence 8,
//	        freelist 8, pages in use 8, transaction 8, FNV-1a of the above 8
//	bucket: root page 8, sequence 8; root page 0: a page follows here
const (
	pageHeader   = 16
	elementSize  = 16
	bucketHeader = 16
	metaSize     = 64

	flagBranch = 0x01
	flagLeaf   = 0x02
	flagMeta   = 0x04

	metaMagic   = 0xED0CDAED
	metaVersion = 2
	noFreelist  = ^uint64(0)
)

var order = binary.NativeEndian

// A meta is one of the two roots of the file, written in turn.
type meta struct {
	pageSize       int
	root, freelist uint64
	pages          uint64 // every page in use is below this
	txid           uint64
}

// parseMeta reads meta page id (0 or 1) from its first bytes.
func parseMeta(id uint64, b []byte) (meta, error) {
	if len(b) < pageHeader+metaSize {
		return meta{}, fmt.Errorf("meta page %d: cut off", id)
	}
	if order.Uint64(b) != id || order.Uint16(b[8:]) != flagMeta {
		return meta{}, fmt.Errorf("meta page %d: not a meta page", id)
	}
	b = b[pageHeader:]
	h := fnv.New64a()
	h.Write(b[:metaSize-8])
	switch {
	case order.Uint32(b) != metaMagic:
		return meta{}, fmt.Errorf("meta page %d: not a bbolt file of this kind of machine", id)
	case order.Uint32(b[4:]) != metaVersion:
		return meta{}, fmt.Errorf("meta page %d: unknown file version %d", id, order.Uint32(b[4:]))
	case order.Uint64(b[56:]) != h.Sum64():
		return meta{}, fmt.Errorf("meta page %d: wrong checksum", id)
	}
	m := meta{
		pageSize: int(order.Uint32(b[8:])),
		root:     order.Uint64(b[16:]),
		freelist: order.Uint64(b[32:]),
		pages:    order.Uint64(b[40:]),
		txid:     order.Uint64(b[48:]),
	}
	if m.pageSize < 512 || m.pageSize > 1<<20 || m.pageSize&(m.pageSize-1) != 0 {
		return meta{}, fmt.Errorf("meta page %d: page size %d", id, m.pageSize)
	}
	if m.txid%2 != id {
		return meta{}, fmt.Errorf("meta page %d: holds transaction %d, which belongs on the other", id, m.txid)
	}
	return m, nil
}

// A page is a branch or leaf page whose layout was checked by parsePage.
type page struct {
	leaf  bool
	count int
	data  []byte
	used  int // bytes taken by header, elements and data
}

var errEmptyPage = errors.New("has no elements")

// parsePage checks that data, its overflow pages included, is laid out as bbolt
// writes it: keys and values in the order of the elements, without gaps. Then no
// element can have been added, dropped or moved by a damaged header.
func parsePage(id uint64, data []byte) (page, error) {
	if len(data) < pageHeader {
		return page{}, errors.New("is cut off")
	}
	if got := order.Uint64(data); got != id {
		return page{}, fmt.Errorf("says that it is page %d", got)
	}
	flags := order.Uint16(data[8:])
	if flags != flagBranch && flags != flagLeaf {
		return page{}, fmt.Errorf("has type %#x, neither branch nor leaf", flags)
	}
	p := page{leaf: flags == flagLeaf, count: int(order.Uint16(data[10:])), data: data}
	if p.count == 0 {
		return page{}, errEmptyPage
	}
	p.used = pageHeader + p.count*elementSize
	if p.used > len(data) {
		return page{}, fmt.Errorf("has no room for %d elements", p.count)
	}
	for i := range p.count {
		pos, size := p.extent(i)
		if pos != int64(p.used) || size > int64(len(data)-p.used) {
			return page{}, fmt.Errorf("element %d is misplaced", i)
		}
		p.used += int(size)
	}
	return p, nil
}

// extent gives where in the page the data of element i begins, and its length.
func (p page) extent(i int) (pos, size int64) {
	at := pageHeader + i*elementSize
	e := p.data[at:]
	if p.leaf {
		return int64(at) + int64(order.Uint32(e[4:])), int64(order.Uint32(e[8:])) + int64(order.Uint32(e[12:]))
	}
	return int64(at) + int64(order.Uint32(e)), int64(order.Uint32(e[4:]))
}

// branch gives element i of a branch page: the first key under child, and child.
func (p page) branch(i int) (key []byte, child uint64) {
	pos, size := p.extent(i)
	return p.data[pos : pos+size], order.Uint64(p.data[pageHeader+i*elementSize+8:])
}

// leafElement gives element i of a leaf page; flags is 1 for a bucket, else 0.
func (p page) leafElement(i int) (flags uint32, key, value []byte) {
	e := p.data[pageHeader+i*elementSize:]
	pos, size := p.extent(i)
	split := pos + int64(order.Uint32(e[8:]))
	return order.Uint32(e), p.data[pos:split], p.data[split : pos+size]
}

// firstKey is the key of element 0.
func (p page) firstKey() []byte {
	if p.leaf {
		_, key, _ := p.leafElement(0)
		return key
	}
	key, _ := p.branch(0)
	return key
}
