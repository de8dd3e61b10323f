package logtailf

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// tree makes files in a new folder.
func tree(t *testing.T, files ...string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	do(t, err)
	for _, f := range files {
		do(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(f)), 0o755))
		touch(t, filepath.Join(dir, f))
	}
	return dir
}

func TestPaths(t *testing.T) {
	dir := tree(t, "a.log", "b.log", "b.txt", "x/c.log", "x/y/d.log", "x/y/d.log.1", "[odd].log", "z/e.log")
	for _, c := range []struct {
		pattern string
		cfg     Config
		want    []string
	}{
		{"a.log", Config{}, []string{"a.log"}},
		{"missing.log", Config{}, nil},
		{"*.log", Config{}, []string{"[odd].log", "a.log", "b.log"}},
		{"*.log", Config{Exclude: []string{"b.*"}}, []string{"[odd].log", "a.log"}},
		{"*.{log,txt}", Config{Exclude: []string{"[[]*"}}, []string{"a.log", "b.log", "b.txt"}},
		{"**/*.log", Config{}, []string{"[odd].log", "a.log", "b.log", "x/c.log", "x/y/d.log", "z/e.log"}},
		{"**/*.log", Config{Exclude: []string{"**/y/*"}}, []string{"[odd].log", "a.log", "b.log", "x/c.log", "z/e.log"}},
		{"x/**", Config{}, []string{"x/c.log", "x/y/d.log", "x/y/d.log.1"}},
		{"?/*.log", Config{}, []string{"x/c.log", "z/e.log"}},
		{"{x,z}/*.log", Config{}, []string{"x/c.log", "z/e.log"}},
		{"[odd].log", Config{Literal: true}, []string{"[odd].log"}},
		{"[ab].log", Config{}, []string{"a.log", "b.log"}},
	} {
		c.cfg.Path = filepath.Join(dir, c.pattern)
		got, failed := Paths(c.cfg)
		for i := range got {
			got[i], _ = filepath.Rel(dir, got[i])
		}
		if !slices.Equal(got, c.want) || failed != nil {
			t.Errorf("%s without %v: %q, %v; not %q", c.pattern, c.cfg.Exclude, got, failed, c.want)
		}
	}
}

func TestPathsOfLinks(t *testing.T) {
	dir := tree(t, "a/x.log", "real.log")
	do(t, os.Symlink("..", filepath.Join(dir, "a/back"))) // leads back
	do(t, os.Symlink("real.log", filepath.Join(dir, "link.log")))
	do(t, os.Symlink("nowhere", filepath.Join(dir, "dangling.log")))
	cfg := Config{Path: filepath.Join(dir, "**/*.log")}
	got, _ := Paths(cfg)
	if want := []string{filepath.Join(dir, "a/x.log"), filepath.Join(dir, "real.log")}; !slices.Equal(got, want) {
		t.Errorf("without links: %q", got)
	}
	cfg.Symlinks = true
	got, _ = Paths(cfg)
	for _, name := range []string{"a/x.log", "link.log", "real.log"} {
		if !slices.Contains(got, filepath.Join(dir, name)) {
			t.Errorf("with links: %q lacks %s", got, name)
		}
	}
	if len(got) > 4 { // the dangling one may be named
		t.Errorf("with links that lead back: %q", got)
	}
}

func TestPathsSaysWhatItCouldNotLookAt(t *testing.T) {
	dir := tree(t, "a.log")
	_, failed := Paths(Config{Path: filepath.Join(dir, "a.log/*.log")})
	if len(failed) != 1 {
		t.Errorf("%v", failed)
	}
}

func TestReaches(t *testing.T) {
	for _, c := range []struct {
		pattern, dir string
		want         bool
	}{
		{"/l/*/x/*.log", "/l", true},
		{"/l/*/x/*.log", "/l/a", true},
		{"/l/*/x/*.log", "/l/a/x", true},
		{"/l/*/x/*.log", "/l/a/y", false},
		{"/l/*/x/*.log", "/l/a/x/z", false},
		{"/l/*.log", "/l/a", false},
		{"/l/*.log", "/m", false},
		{"/l/**/*.log", "/l/a/b/c/d", true},
		{"/l/a*/**/*.log", "/l/b/c", false},
		{"/l/{a/b,c}/*.log", "/l/a/b", true},
		{"/l/x.log", "/l", false},
	} {
		if got := newFinder(Config{Path: c.pattern}).reaches(c.dir); got != c.want {
			t.Errorf("%s reaches %s: %v", c.pattern, c.dir, got)
		}
	}
}
