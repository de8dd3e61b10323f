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
	logs  map[string]bool     // paths it follows
	files map[identity]string // the path each file belongs to
}

func (c *claims) mine(f *Follower) *claim {
	if c.of == nil {
		c.of = map[*Follower]*claim{}
	}
	if c.of[f] == nil {
		c.of[f] = &claim{logs: map[string]bool{}, files: map[identity]string{}}
	}
	return c.of[f]
}

// follow says that f follows path.
func (c *claims) follow(f *Follower, path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mine(f).logs[path] = true
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

// logsIn are the followed paths in dir, sorted.
func (c *claims) logsIn(dir string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := map[string]bool{}
	for _, claim := range c.of {
		for path := range claim.logs {
			if filepath.Dir(path) == dir {
				found[path] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// claimWait is how long another follower has to say that a file is its own.
const claimWait = 2 * tickEvery

// anotherLogs decides, where the name of c may be that of any log's generation in its
// folder, whether it is that of another one than t. Wait: that is not known yet.
// What nobody knows goes to the first of the logs: it is delivered, and once.
func (f *Follower) anotherLogs(c *candidate, t *trail) (anothers, wait bool) {
	dir := filepath.Dir(c.path)
	logs := f.d.Hub.claims.logsIn(dir)
	if len(logs) < 2 || !slices.Contains(f.habits.bases(baseName(c.path)), "") {
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
	f.log.Warn("this may be a rotated file of any log in its folder; it is delivered as one of the first",
		"path", c.path, "file", t.path, "logs", logs)
	return false, false
}
