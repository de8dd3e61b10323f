package logconfig

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A size is a number of bytes, never negative.
type size int64

var units = []struct {
	name string
	size int64
}{ // the longer first: every name ends in B
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
}

// parseSize reads a whole number of bytes, or of a unit such as KiB (1024) or kB (1000).
func parseSize(s string) (size, error) {
	unit := int64(1)
	for _, u := range units {
		if num, ok := strings.CutSuffix(s, u.name); ok {
			s, unit = strings.TrimRight(num, " "), u.size
			break
		}
	}
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || int64(n) > math.MaxInt64/unit {
		return 0, wanted("a size such as 64KiB, 10MB or a number of bytes")
	}
	return size(int64(n) * unit), nil
}

// String returns the size in the largest binary unit that divides it.
func (s size) String() string {
	for i := 3; i >= 0; i-- {
		if u := units[i]; s > 0 && int64(s)%u.size == 0 {
			return fmt.Sprintf("%d%s", int64(s)/u.size, u.name)
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}
