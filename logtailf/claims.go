package logtailf

import (
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Claims say which file belongs to which followed path, over all followers of a
// process. They are needed where a name does not tell: the generations of two logs
// in one folder may both be called <yyyymmddhhmmss>.txt.
type claims struct {
	mu sync.Mutex
	of map[*Follower]*claim
}

// A claim is one follower's.
type claim struct {
	custom bool                 // its source has patterns of its own
	logs   map[string][]pattern // paths it follows, with these
	files  map[identity]string  // the path each file belongs to
}

func (c *claims) mine(f *Follower) *claim {
	if c.of == nil {
		c.of = map[*Follower]*claim{}
	}
	if c.of[f] == nil {
		c.of[f] = &claim{custom: f.habits.custom, logs: map[string][]pattern{}, files: map[identity]string{}}
	}
	return c.of[f]
}

// follow says that f follows path.
func (c *claims) follow(f *Follower, path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mine(f).logs[path] = f.habits.patternsOf(path)
}

// leave ends that f follows path.
func (c *claims) leave(f *Follower, path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.mine(f).logs, path)
}

// take says that the file of g belongs to g's path.
func (c *claims) take(f *Follower, g *generation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mine(f).files[g.ident] = g.trail.path
}

// release ends what f said of the file id.
func (c *claims) release(f *Follower, id identity) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.mine(f).files, id)
}

// end ends all that f said.
func (c *claims) end(f *Follower) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.of, f)
}

// owner is the path that the file id belongs to for a follower that does not follow
// log itself, or empty.
func (c *claims) owner(id identity, log string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, claim := range c.of {
		if path, ok := claim.files[id]; ok && path != log {
			return path
		}
	}
	return ""
}

// logsOf are the followed paths of which the file at path may be a generation by its
// name, sorted.
func (c *claims) logsOf(path string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := map[string]bool{}
	bases := habits{}.bases(baseName(path))
	for _, claim := range c.of {
		if claim.custom {
			claim.byPattern(filepath.ToSlash(path), found)
		} else {
			claim.byBase(filepath.Dir(path), bases, found)
		}
	}
	return slices.Sorted(maps.Keys(found))
}

func (c *claim) byPattern(path string, found map[string]bool) {
	for log, patterns := range c.logs {
		if slices.ContainsFunc(patterns, func(p pattern) bool { return p.matches(path) }) {
			found[log] = true
		}
	}
}

func (c *claim) byBase(dir string, bases []string, found map[string]bool) {
	for _, base := range bases {
		if log := filepath.Join(dir, base); base != "" {
			if _, ok := c.logs[log]; ok {
				found[log] = true
			}
			continue
		}
		for log := range c.logs {
			if filepath.Dir(log) == dir {
				found[log] = true
			}
		}
	}
}

// claimWait is how long another follower has to say that a file is its own.
const claimWait = 2 * tickEvery

// anotherLogs decides, where the name of c may be that of several logs' generations,
// whether it is that of another one than t. Wait: that is not known yet.
// What nobody knows goes to the first of the logs: it is delivered, and once.
func (f *Follower) anotherLogs(c *candidate, t *trail) (anothers, wait bool) {
	logs := f.d.Hub.claims.logsOf(c.path)
	if len(logs) < 2 {
		return false, false
	}
	if f.d.Hub.claims.owner(c.stat.identity, t.path) != "" {
		delete(f.doubted, c.path)
		return true, false
	}
	if first, ok := f.doubted[c.path]; !ok {
		f.doubted[c.path] = time.Now()
		return false, true
	} else if time.Since(first) < claimWait {
		return false, true
	}
	delete(f.doubted, c.path)
	if t.path != logs[0] {
		return true, false
	}
	f.log.Warn("this may be a rotated file of several logs; it is delivered as one of the first",
		"path", c.path, "file", t.path, "logs", logs)
	return false, false
}
