package logtailf

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/logcatchsys/logcatchsys/internal/record"
)

// startPipe reads t's path, a named pipe or character device, in a goroutine of
// its own. It has no positions: what was read and not delivered dies with the process.
func (f *Follower) startPipe(t *trail) {
	if t.piped {
		return
	}
	if f.cfg.Once {
		f.say(t.path, errors.New("has no end to read to: left out with --once"))
		return
	}
	t.piped = true
	id := newID(f.cfg.Host, f.cfg.Source, fileStat{}, sum{}, time.Now())
	p := &piped{f: f, path: t.path, id: id}
	f.pipes.Go(func() {
		p.run()
	})
}

// piped delivers the lines of one pipe.
type piped struct {
	f      *Follower
	path   string
	id     string
	offset int64
}

// run reads the pipe until the follower ends. What goes wrong is said once, and
// tried again.
func (p *piped) run() {
	ctx := p.f.pipeCtx
	said := ""
	for {
		err := readPipe(ctx, p.path, p.deliverGuarded)
		if ctx.Err() != nil {
			return
		}
		if err != nil && err.Error() != said {
			said = err.Error()
			p.f.log.Warn("the pipe cannot be read for now; trying again", "path", p.path, "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
	}
}

// deliverGuarded makes an error of a panic in deliver: this goroutine is not the one that
// the follower's owner guards.
func (p *piped) deliverGuarded(line []byte) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic while a line was delivered: %v", v)
		}
	}()
	return p.deliver(line)
}

// deliver hands one line, without its end, to the output, in pieces if it is too long.
func (p *piped) deliver(line []byte) error {
	line = append(line, '\n')
	for piece := 0; len(line) > 0; piece++ {
		n, kind := cut(line, piece, p.f.cfg.MaxLine, true, true)
		if err := p.send(line[:n], piece, kind); err != nil {
			return err
		}
		line = line[n:]
	}
	return nil
}

func (p *piped) send(data []byte, piece int, kind cutKind) error {
	var b *record.Batch
	select {
	case b = <-p.f.d.Inlet.Free(): // first: what was taken from the pipe exists nowhere else
	default:
		select {
		case b = <-p.f.d.Inlet.Free():
		case <-p.f.pipeCtx.Done():
			return context.Cause(p.f.pipeCtx)
		}
	}
	put := false
	defer func() {
		if !put { // it panics: the output has only so many
			p.f.d.Inlet.Return(b)
		}
	}()
	b.Data = append(b.Data[:0], data...)
	b.Source, b.File, b.Labels, b.Gen = p.f.cfg.Source, p.path, p.f.cfg.Labels, p.id
	b.From, b.Count, b.Read = p.offset, 1, time.Now()
	b.Key, b.Mark, b.Accepted, b.Partial = "", b.Mark[:0], nil, nil
	if kind != cutLines {
		b.Partial = &record.Partial{Piece: piece, Last: kind == cutLastPiece}
	}
	p.offset += int64(len(data))
	p.f.d.Metrics.Read(len(data), 1)
	p.f.d.Inlet.Put(b)
	put = true
	return nil
}
