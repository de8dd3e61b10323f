package logtailf

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// unreadable names a path that is there and cannot be read, with the reason, and says how
// many more there are; "": none. It looks only at what is looked at with each tick anyway.
func (f *Follower) unreadable() string {
	why := map[string]string{}
	// A wide glob meets folders that are none of its user's business: they are only logged.
	if dir := f.finder.base; f.finder.glob && f.unlisted[dir] {
		why[dir] = cmp.Or(f.said[dir], "cannot be listed")
	}
	for t, err := range f.unseen {
		why[t.path] = err.Error()
	}
	for t := range f.waiting {
		for _, g := range t.queue {
			if g.refused != nil && !exhausted(g.refused) { // descriptors come back
				why[cmp.Or(g.place, t.path)] = g.refused.Error()
			}
		}
	}
	if len(why) == 0 {
		return ""
	}
	paths := slices.Sorted(maps.Keys(why))
	text := paths[0] + ": " + why[paths[0]]
	if more := len(paths) - 1; more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	return text
}
