package daemon

import (
	"context"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/checkpoint"
)

// stateEvery is how often the checkpoint's file is looked at.
const stateEvery = time.Second

// WatchState calls lost, once, when the checkpoint's file is not the one that was opened
// any more, until ctx ends. Nothing can be committed then, and another process could
// take the folder: this one must end.
func WatchState(ctx context.Context, store *checkpoint.Store, lost func(error)) {
	tick := time.NewTicker(stateEvery)
	defer tick.Stop()
	for strikes := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := store.Intact()
		if err == nil {
			strikes = 0
			continue
		}
		if strikes++; strikes == 2 { // a network file system may stumble
			lost(err)
			return
		}
	}
}
