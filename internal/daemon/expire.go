package daemon

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/checkpoint"
	"github.com/logcatchsys/logcatchsys/logtailf"
)

const (
	expireAge   = 30 * 24 * time.Hour
	expireEvery = 24 * time.Hour
	expireSoon  = time.Minute
)

// Expire deletes, a minute after the start and then daily, the positions of files
// that have been gone for 30 days, until ctx ends. Nothing is deleted before ready
// says that every source was looked at: what was renamed while nobody looked is
// found by its old position, and is marked as seen then.
func Expire(ctx context.Context, store *checkpoint.Store, ready func() bool, log *slog.Logger) {
	timer := time.NewTimer(expireSoon)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if !ready() {
			timer.Reset(expireSoon)
			continue
		}
		n, err := store.Expire(time.Now().Add(-expireAge), func(_, key string, value []byte) bool {
			return ctx.Err() != nil || alive(key, value)
		})
		if err != nil {
			log.Warn("positions of files long gone could not be deleted", "error", err)
		}
		if n > 0 {
			log.Info("positions of files long gone were deleted", "positions", n)
		}
		timer.Reset(expireEvery)
	}
}

// alive reports whether an entry of the checkpoint is to be kept. A key is a
// source, a NUL, and an id; one that begins with NUL is a note and never expires.
func alive(key string, value []byte) bool {
	_, id, ok := strings.Cut(key, "\x00")
	return !ok || strings.HasPrefix(id, "\x00") || logtailf.StillThere(value)
}
