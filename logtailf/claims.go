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
	source string
	custom bool                 // its source has patterns of its own
	logs   map[string][]pattern // paths it follows, with these
	files  map[identity]string  // the path each file belongs to
	doubts map[identity]doubt   // files that it has looked into and knows nothing of
	sub    *Subscription        // wakes it; nil before it runs
}

// A doubt says that a file of that size holds nothing that was seen of a log.
type doubt struct {
	size  int64
	since time.Time
}

func (c *claims) mine(f *Follower) *claim {
	if c.of == nil {
		c.of = map[*Follower]*claim{}
	}
	if c.of[f] == nil {
		c.of[f] = &claim{source: f.cfg.Source, custom: f.habits.custom,
			logs: map[string][]pattern{}, files: map[identity]string{}, doubts: map[identity]doubt{}}
	}
	c.of[f].sub = f.sub
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
	delete(c.mine(f).doubts, id)
}

// end ends all that f said.
func (c *claims) end(f *Follower) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.of, f)
}

// owner says whether another follower knows whose the file id is: of a path that f
// follows, or of another one.
func (c *claims) owner(f *Follower, id identity) (known, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, claim := range c.of {
		if path, ok := claim.files[id]; ok {
			known = true
			_, follows := c.mine(f).logs[path]
			mine = mine || follows
		}
	}
	return known, mine
}

// doubt says that f does not know the file of st at path. It reports whether nobody does:
// each follower of another source whose log it may be has looked into it as it is now, or
// did not come to that for claimLimit. Those who have not looked are told to, and those
// who wait for this are told.
func (c *claims) doubt(f *Follower, path string, st fileStat) (settled bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	mine := c.mine(f)
	maps.DeleteFunc(mine.doubts, func(_ identity, d doubt) bool { return now.Sub(d.since) > doubtKept })
	d, doubted := mine.doubts[st.identity]
	tell := !doubted || d.size != st.size
	if !doubted {
		d.since = now
	}
	d.size = st.size
	mine.doubts[st.identity] = d
	settled = true
	for _, claim := range c.of {
		if claim.source == mine.source || !claim.mayOwn(path) {
			continue
		}
		if theirs, ok := claim.doubts[st.identity]; !ok || theirs.size != st.size {
			settled = false
		}
		if tell && claim.sub != nil {
			claim.sub.notePath(path)
		}
	}
	return settled || now.Sub(d.since) > claimLimit
}

// follows reports whether f follows path.
func (c *claims) follows(f *Follower, path string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.mine(f).logs[path]
	return ok
}

// logsOf are the followed paths of which the file at path may be a generation by its
// name, sorted.
func (c *claims) logsOf(path string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := map[string]bool{}
	for _, claim := range c.of {
		claim.collect(path, found)
	}
	return slices.Sorted(maps.Keys(found))
}

func (c *claim) mayOwn(path string) bool {
	found := map[string]bool{}
	c.collect(path, found)
	return len(found) > 0
}

func (c *claim) collect(path string, found map[string]bool) {
	if c.custom {
		c.byPattern(filepath.ToSlash(path), found)
		return
	}
	c.byBase(filepath.Dir(path), habits{}.bases(baseName(path)), found)
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

// claimLimit is how long others have to say whether a file is their own: they look into
// it at once, unless they are busy with a large folder or wait for a dead disk.
const claimLimit = 5 * time.Second

// doubtKept is how long a doubt is remembered for others that come to the file late.
const doubtKept = time.Minute

// anotherLogs decides, where the name of c may be that of several logs' generations,
// whether it is one of a log that another follower follows. Wait: that is not known yet.
// What nobody knows goes to the first of the logs: it is delivered, and once.
func (f *Follower) anotherLogs(c *candidate) (anothers, wait bool) {
	claims := &f.d.Hub.claims
	logs := claims.logsOf(c.path)
	if len(logs) < 2 {
		return false, false
	}
	if known, mine := claims.owner(f, c.stat.identity); known {
		return !mine, false
	}
	if !claims.doubt(f, c.path, c.stat) {
		return false, true
	}
	if !claims.follows(f, logs[0]) {
		return true, false
	}
	f.log.Warn("this may be a rotated file of several logs; it is delivered as one of the first",
		"path", c.path, "file", logs[0], "logs", logs)
	return false, false
}
