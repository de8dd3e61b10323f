package logtailf

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// follow makes path one that is followed.
func (f *Follower) follow(path string) {
	f.lookLiving(f.trailOf(path))
}

// trailOf is the trail of path, made if need be.
func (f *Follower) trailOf(path string) *trail {
	t := f.trails[path]
	if t != nil {
		return t
	}
	t = &trail{path: path, followed: f.finder.matches(path), patterns: f.habits.patternsOf(path)}
	f.trails[path] = t
	if t.followed {
		dir := filepath.Dir(path)
		f.inFolder[dir] = append(f.inFolder[dir], t)
		f.d.Hub.claims.follow(f, path)
		f.locate(t)
	}
	return t
}

// locate finds out in which folders t's generations appear.
func (f *Follower) locate(t *trail) {
	places := []string{t.path}
	real, err := filepath.EvalSymlinks(t.path)
	if err == nil && real != t.path {
		places = append(places, real)
		t.patterns = append(f.habits.patternsOf(t.path), f.habits.patternsOf(real)...)
		f.noteLink(t)
	}
	for _, p := range places {
		for _, rel := range f.habits.globs(filepath.Base(p)) {
			for _, dir := range foldersOf(filepath.Dir(p), rel) {
				if !slices.Contains(t.folder, dir) {
					t.folder = append(t.folder, dir)
					if f.folders[dir] == nil {
						f.listing[dir] = true
					}
					f.watch(dir)
				}
			}
		}
	}
}

// relocate finds the folders for t's generations that were made since, as logrotate's
// createolddir does with the first rotation.
func (f *Follower) relocate(t *trail) {
	if f.habits.custom && t.followed {
		f.locate(t)
	}
}

// noteLink has t looked at with every poll if its path is, or goes through, a link,
// even one that leads nowhere yet.
func (f *Follower) noteLink(t *trail) {
	if t.link {
		return
	}
	real, err := filepath.EvalSymlinks(t.path)
	if t.link = err == nil && real != t.path; !t.link {
		fi, err := os.Lstat(t.path)
		t.link = err == nil && fi.Mode()&fs.ModeSymlink != 0
	}
	if t.link {
		f.links = append(f.links, t)
	}
}

// trailsOf are the trails of which path, by its name, may be a generation.
func (f *Follower) trailsOf(path string) []*trail {
	if f.habits.custom {
		return f.trailsByPattern(filepath.ToSlash(path))
	}
	var found []*trail
	dir, name := filepath.Split(path)
	dir = filepath.Clean(dir)
	bases := f.habits.bases(name)
	for _, base := range bases {
		if base == "" {
			found = append(found, f.inFolder[dir]...)
		} else if t := f.trails[filepath.Join(dir, base)]; t != nil {
			found = append(found, t)
		}
		for _, t := range f.links {
			if t.holds(dir, base) {
				found = append(found, t)
			}
		}
	}
	if len(found) == 0 && f.finder.glob {
		if base := f.unseenBase(dir, bases); base != "" {
			found = append(found, f.trailOf(base)) // it was rotated before it was ever seen
		}
	}
	return found
}

// trailsByPattern is trailsOf for a source with patterns of its own. Where app.log and
// app-web.log are followed, app-web-1.log is the latter's: of which the name says more.
func (f *Follower) trailsByPattern(path string) []*trail {
	var found []*trail
	most := 0
	for _, t := range f.trails {
		said := 0
		for _, p := range t.patterns {
			if len(p.begin) >= max(said, most) && p.matches(path) {
				said = len(p.begin)
			}
		}
		if said > most {
			most, found = said, found[:0]
		}
		if said > 0 && said == most {
			found = append(found, t)
		}
	}
	return found
}

// unseenBase is the log that is followed, though no file of its was seen yet, of
// which a file may be a generation: the shortest name, as of app.log.2.gz app.log.
func (f *Follower) unseenBase(dir string, bases []string) string {
	shortest := ""
	for _, base := range bases {
		path := filepath.Join(dir, base)
		if base != "" && f.finder.matches(path) && (shortest == "" || len(path) < len(shortest)) {
			shortest = path
		}
	}
	return shortest
}

// holds reports whether t, a link, leads to the file called base in dir.
func (t *trail) holds(dir, base string) bool {
	real, err := filepath.EvalSymlinks(t.path)
	return err == nil && filepath.Dir(real) == dir && (base == "" || filepath.Base(real) == base)
}
