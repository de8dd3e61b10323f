package traffic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"time"
)

// full says that the file has all the lines it is to get.
func (l *log) full() bool { return l.fresh.Load() >= l.EveryLines }

// rotateEvery rotates in intervals until ctx ends.
func (l *log) rotateEvery(ctx context.Context) {
	rng := rand.New(rand.NewPCG(l.Seed, 0)) // 0 is no writer's number
	var p pacer
	for {
		interval := l.Every
		if l.Jitter {
			interval = time.Duration(rng.Int64N(2*int64(l.Every))) + 1
		}
		if !p.sleep(ctx, interval) {
			return
		}
		l.rotate(ctx, nil)
	}
}

// rotate rotates once, if due is nil or still says so when no other rotation is under way. A file
// that is not there (nothing written since the last time) is left alone.
func (l *log) rotate(ctx context.Context, due func() bool) {
	if l.Rotate == None || due != nil && !due() {
		return
	}
	l.turning.Lock()
	defer l.turning.Unlock()
	if due != nil && !due() {
		return
	}
	to, lines, err := l.turn(ctx)
	if err == nil && (l.Rotate == Gzip || l.Rotate == Zstd) {
		to, err = l.compress(ctx, to)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), ctx.Err() != nil && errors.Is(err, ctx.Err()):
	case err != nil:
		l.fail(fmt.Errorf("rotating %s: %w", l.source.Path, err))
	default:
		l.rotations.Add(1)
		if l.Rotated != nil {
			l.Rotated(Turn{Source: l.source, To: to, Lines: lines})
		}
	}
}

// turn does what the writers must not see half done.
func (l *log) turn(ctx context.Context) (to string, lines int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	path := l.source.Path
	switch l.Rotate {
	case CopyTruncate:
		to, err = l.place(func(to string) error { return copyNew(path, to) })
		if err == nil {
			err = os.Truncate(path, 0)
		}
	case Delete:
		var p pacer
		if !p.sleep(ctx, l.Settle) {
			return "", 0, ctx.Err()
		}
		l.closeAll()
		err = os.Remove(path)
	case RenameKeep:
		to, err = l.place(func(to string) error { return moveNew(path, to) })
		if err == nil {
			l.renamed++
		}
	case Rename, Gzip, Zstd:
		l.closeAll() // Windows renames no file that is open
		to, err = l.place(func(to string) error { return moveNew(path, to) })
	}
	if err == nil {
		lines = l.fresh.Swap(0)
	}
	return to, lines, err
}

// closeAll closes the writers' handles; they open the path again when they have something to write.
func (l *log) closeAll() {
	for _, s := range l.scribes {
		s.close()
	}
}

// compress replaces a generation by its compressed form. Its name may be taken by another process
// meanwhile: then the generation moves on to the next free one.
func (l *log) compress(ctx context.Context, path string) (string, error) {
	ext := ".gz"
	if l.Rotate == Zstd {
		ext = ".zst"
	}
	for {
		err := compressFile(ctx, path, path+ext)
		if !errors.Is(err, fs.ErrExist) {
			return path + ext, err
		}
		from := path
		if path, err = l.place(func(to string) error { return moveNew(from, to) }); err != nil {
			return "", err
		}
	}
}

// copyNew copies a file to a name that must be free.
func copyNew(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	return writeNew(to, func(out io.Writer) error {
		_, err := io.Copy(out, in)
		return err
	})
}

// writeNew makes a file of a name that must be free; if its content cannot be written, it is removed.
func writeNew(path string, write func(io.Writer) error) error {
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if err := errors.Join(write(out), out.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}
