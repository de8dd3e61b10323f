package daemon

import (
	"runtime/debug"
	"strings"
)

// Version is the module's, with the commit where the build knows it, and Go's.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return versionOf(info)
}

func versionOf(info *debug.BuildInfo) string {
	v := info.Main.Version
	for _, s := range info.Settings {
		commit := s.Value[:min(len(s.Value), 12)]
		if s.Key == "vcs.revision" && !strings.Contains(v, commit) { // as it does between two tags
			v += " " + commit
		}
	}
	return v + " " + info.GoVersion
}
