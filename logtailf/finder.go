package logtailf

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// A finder knows which paths a source stands for.
type finder struct {
	path     string   // absolute: a path written out, or a doublestar glob
	exclude  []string // of what a glob finds: patterns of base names, or of whole paths if they hold a slash
	symlinks bool     // follow links that a glob finds
	glob     bool
	base     string   // the folder that holds all that the glob can match
	below    []string // the glob's segments below base
}

func newFinder(c Config) *finder {
	f := &finder{path: c.Path, exclude: c.Exclude, symlinks: c.Symlinks, base: filepath.Dir(c.Path)}
	base, pattern := doublestar.SplitPattern(filepath.ToSlash(c.Path))
	if f.glob = !c.Literal && strings.ContainsAny(pattern, `*?[{\`); f.glob {
		f.base = filepath.FromSlash(base)
		f.below = strings.Split(pattern, "/")
	}
	return f
}

// Paths lists what a source stands for now, sorted, and the folders that could not be
// looked at.
func Paths(c Config) (paths []string, failed []error) {
	f := newFinder(c)
	if !f.glob {
		if _, err := os.Stat(f.path); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return []string{f.path}, nil
	}
	f.walk(f.base, func(string) {}, func(path string) {
		if f.matches(path) {
			paths = append(paths, path)
		}
	}, func(_ string, err error) { failed = append(failed, err) })
	slices.Sort(paths)
	return paths, failed
}

// matches reports whether the source stands for path.
func (f *finder) matches(path string) bool {
	if !f.glob {
		return path == f.path
	}
	if ok, _ := doublestar.PathMatch(f.path, path); !ok {
		return false
	}
	return !slices.ContainsFunc(f.exclude, func(pattern string) bool {
		name := filepath.Base(path)
		if strings.Contains(pattern, "/") {
			name = path
		}
		ok, _ := doublestar.PathMatch(filepath.FromSlash(pattern), name)
		return ok
	})
}

// reaches reports whether a match may stand below the folder dir.
func (f *finder) reaches(dir string) bool {
	if !f.glob {
		return false
	}
	rel, err := filepath.Rel(f.base, dir)
	if err != nil || strings.HasPrefix(rel, "..") {
		return false
	}
	if rel == "." || strings.Contains(f.path, "{") { // a brace may hold slashes
		return true
	}
	for i, name := range strings.Split(filepath.ToSlash(rel), "/") {
		if i < len(f.below) && f.below[i] == "**" {
			return true
		}
		if i >= len(f.below)-1 {
			return false
		}
		if ok, _ := doublestar.Match(f.below[i], name); !ok {
			return false
		}
	}
	return true
}

// followsLink reports whether the entry at path, found by a glob, may be looked at.
func (f *finder) followsLink(e fs.DirEntry) bool {
	return f.symlinks || !f.glob || e.Type()&fs.ModeSymlink == 0
}

// walk calls folder for every folder in which a match may stand, dir first, and
// file for everything else that a folder holds. Errors go to failed, and the walk goes on.
func (f *finder) walk(dir string, folder func(dir string), file func(path string), failed func(dir string, err error)) {
	f.walkOnce(dir, map[inode]bool{}, folder, file, failed)
}

func (f *finder) walkOnce(dir string, seen map[inode]bool, folder, file func(string), failed func(string, error)) {
	st, err := statPath(dir)
	if err == nil && seen[st.inode()] && st.ino != 0 {
		return // a link that leads back
	}
	if err == nil {
		seen[st.inode()] = true
		folder(dir)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		failed(dir, err)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if !f.followsLink(e) {
			continue
		}
		if f.isFolder(path, e) {
			if f.reaches(path) {
				f.walkOnce(path, seen, folder, file, failed)
			}
			continue
		}
		file(path)
	}
}

func (f *finder) isFolder(path string, e fs.DirEntry) bool {
	if e.Type()&fs.ModeSymlink == 0 {
		return e.IsDir()
	}
	st, err := statPath(path)
	return err == nil && st.mode.IsDir()
}
