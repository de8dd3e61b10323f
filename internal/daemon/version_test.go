package daemon

import (
	"runtime/debug"
	"testing"
)

func TestVersion(t *testing.T) {
	commit := debug.BuildSetting{Key: "vcs.revision", Value: "4339af9632bd0123456789"}
	for version, want := range map[string]string{
		"(devel)": "(devel) 4339af9632bd go1",
		"v1.2.3":  "v1.2.3 4339af9632bd go1",
		"v0.0.0-20261122181751-4339af9632bd+dirty": "v0.0.0-20261122181751-4339af9632bd+dirty go1",
	} {
		info := &debug.BuildInfo{GoVersion: "go1", Main: debug.Module{Version: version}, Settings: []debug.BuildSetting{commit}}
		if got := versionOf(info); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
