package traffic

import (
	"cmp"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var (
	indexName = regexp.MustCompile(`^(.*)\.(\d{1,9})$`)
	stampName = regexp.MustCompile(`^(\d{14})(?:-(\d{1,9}))?\.txt$`)
)

// age is what tells the age of a generation from its name.
type age struct {
	folder, stamp, base string
	n                   int // grows with the time
}

// OldestFirst sorts the generations of logs, or of a collector's own output, as they were written:
// the timestamped before the rest, name.2 before name.1 before name, compressed or not.
func OldestFirst(paths []string) {
	slices.SortStableFunc(paths, func(a, b string) int {
		x, y := ageOf(a), ageOf(b)
		return cmp.Or(
			strings.Compare(x.folder, y.folder),
			strings.Compare(x.stamp, y.stamp),
			strings.Compare(x.base, y.base),
			cmp.Compare(x.n, y.n),
		)
	})
}

func ageOf(path string) age {
	folder, base := filepath.Split(path)
	base = strings.TrimSuffix(strings.TrimSuffix(base, ".gz"), ".zst")
	if m := stampName.FindStringSubmatch(base); m != nil {
		n, _ := strconv.Atoi("0" + m[2])
		return age{folder: folder, stamp: m[1], n: n}
	}
	const youngest = "~" // sorts after all digits
	if m := indexName.FindStringSubmatch(base); m != nil {
		n, _ := strconv.Atoi(m[2])
		return age{folder, youngest, m[1], -n}
	}
	return age{folder, youngest, base, 0}
}
