package logtailf

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func openHandle(t *testing.T, p *Handles, path string) *handle {
	t.Helper()
	h, err := p.openFile(path)
	do(t, err)
	return h
}

func TestHandlesCloseTheLongestResting(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	touch(t, path)
	p := NewHandles(2)
	a, b := openHandle(t, p, path), openHandle(t, p, path)
	b.lay()
	a.lay()
	if !a.use() {
		t.Fatal("closed without need")
	}
	a.lay() // now b rests longer
	c := openHandle(t, p, path)
	if b.use() || !a.use() || !c.use() || p.Open() != 2 {
		t.Errorf("open: a %v, b %v, c %v, %d in all", a.file != nil, b.file != nil, c.file != nil, p.Open())
	}
	for _, h := range []*handle{a, b, c} {
		h.close()
		h.close() // no harm
	}
	if p.Open() != 0 {
		t.Errorf("%d open", p.Open())
	}
}

func TestHandlesInUseAreNotClosedAndThereIsAnEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	touch(t, path)
	p := NewHandles(1)
	var all []*handle
	for {
		h, err := p.openFile(path)
		if err != nil {
			if !errors.Is(err, errNoHandle) {
				t.Fatal(err)
			}
			break
		}
		all = append(all, h)
		if len(all) > 100 {
			t.Fatal("no limit")
		}
	}
	if len(all) != p.most || p.Open() != p.most {
		t.Errorf("%d handles, %d counted, at most %d", len(all), p.Open(), p.most)
	}
	for _, h := range all {
		if _, err := h.file.Stat(); err != nil {
			t.Error(err)
		}
	}
	all[0].lay() // more are open than should rest
	if all[0].use() || p.Open() != p.most-1 {
		t.Error("rests although there are too many")
	}
	for _, h := range all {
		h.close()
	}
}

func TestHandlesGiveBackWhatDidNotOpen(t *testing.T) {
	p := NewHandles(1)
	if _, err := p.openFile(filepath.Join(t.TempDir(), "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if p.Open() != 0 {
		t.Errorf("%d open", p.Open())
	}
	if d := NewHandles(0); d.limit < 1 || d.most <= d.limit {
		t.Errorf("the default is %d, %d", d.limit, d.most)
	}
}

func TestListNames(t *testing.T) {
	dir := tree(t, "a", "ü", "sub/x")
	for i := range 2000 { // more than one read of the folder
		touch(t, filepath.Join(dir, "sub", string(rune('0'+i%10))+filepath.Base(t.Name())+string(rune(0x4e00+i))))
	}
	names, err := listNames(dir)
	do(t, err)
	if len(names) != 3 {
		t.Errorf("%v", names)
	}
	for name, ino := range names {
		st, err := statPath(filepath.Join(dir, name))
		do(t, err)
		if ino != 0 && ino != st.ino {
			t.Errorf("%s has inode %d, not %d", name, ino, st.ino)
		}
	}
	if names, err = listNames(filepath.Join(dir, "sub")); err != nil || len(names) != 2001 {
		t.Errorf("%d names, %v", len(names), err)
	}
	if _, err := listNames(filepath.Join(dir, "missing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
