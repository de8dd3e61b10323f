// Package checkpoint keeps positions on disk: how far each output has durably
// accepted each file. It knows nothing of files and outputs; keys and values are
// opaque to it.
//
// A change is durable when the call that makes it returns. A checkpoint that is
// not exactly what was stored is reported (DamagedError) and left untouched.
package checkpoint

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

const (
	fileName = "checkpoint.db"
	newName  = fileName + ".new" // a checkpoint being made; left behind by a crash, it is made anew
)

// A Store is the checkpoint of one process: a bbolt file in the state folder.
// Its methods, and those of its ledgers, may be called from any goroutine.
type Store struct {
	path string
	log  *slog.Logger
	lock *lockFile
	db   *bolt.DB
	file os.FileInfo // the file that db has open

	group group

	mu      sync.Mutex // guards ledgers
	ledgers map[string]*Ledger
}

// Open opens the checkpoint in the folder dir; folder (0700) and checkpoint are
// made if they do not exist. It reads the whole file to check it, about a second
// for a million entries.
//
// Errors: *LockedError if another process holds the folder, *DamagedError if the
// checkpoint is damaged (it is not changed then); others are wrapped.
func Open(dir string, log *slog.Logger) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the state folder: %w", whoAmI(err))
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{
		path:    filepath.Join(dir, fileName),
		log:     log,
		lock:    lock,
		ledgers: make(map[string]*Ledger),
	}
	s.group.init(s.transact)
	if err := s.open(dir); err != nil {
		return nil, errors.Join(err, lock.close())
	}
	return s, nil
}

func (s *Store) open(dir string) error {
	began := time.Now()
	if _, err := os.Stat(s.path); errors.Is(err, os.ErrNotExist) {
		if err := create(dir); err != nil {
			return fmt.Errorf("making the checkpoint %s: %w", s.path, err)
		}
		s.log.Info("checkpoint made", "path", s.path)
	}
	records, err := verifyFile(s.path)
	if err != nil {
		return err
	}
	if s.db, err = openBolt(s.path); errors.Is(err, berrors.ErrTimeout) {
		return &LockedError{Dir: dir}
	} else if err != nil {
		return fmt.Errorf("opening the checkpoint %s: %w", s.path, err)
	}
	if s.file, err = os.Stat(s.path); err != nil {
		return errors.Join(fmt.Errorf("checkpoint: %w", err), s.db.Close())
	}
	s.log.Debug("checkpoint opened", "path", s.path, "records", records, "took", time.Since(began))
	return nil
}

// create makes an empty checkpoint under another name and renames it, so that a
// crash in between cannot leave half of one: an empty file is a damaged one.
func create(dir string) error {
	tmp := filepath.Join(dir, newName)
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	db, err := openBolt(tmp)
	if err != nil {
		return err
	}
	err = db.Update(func(btx *bolt.Tx) error {
		b, err := btx.CreateBucket(bucketName)
		if err != nil {
			return err
		}
		return b.Put(totalKey, total{}.record(btx.ID()))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, filepath.Join(dir, fileName)); err != nil {
		return err
	}
	return syncDir(dir)
}

func openBolt(path string) (*bolt.DB, error) {
	return bolt.Open(path, 0o600, &bolt.Options{
		Timeout:        lockWait,
		NoFreelistSync: true, // nothing on disk that verifyFile cannot check, and less to write
		FreelistType:   bolt.FreelistMapType,
		NoStatistics:   true,
	})
}

// Close ends the use of the store; it waits for transactions under way. Calls
// after it return an error.
func (s *Store) Close() error {
	if err := errors.Join(s.db.Close(), s.lock.close()); err != nil {
		return fmt.Errorf("closing the checkpoint: %w", err)
	}
	return nil
}

// view runs fn in a transaction that sees one state of the store.
func (s *Store) view(fn func(*bolt.Bucket) error) error {
	return s.guard(func() error {
		return s.db.View(func(btx *bolt.Tx) error { return fn(btx.Bucket(bucketName)) })
	})
}

// Intact says whether the file is still the one that was opened, and no shorter. One
// that is not cannot be mended by trying again.
func (s *Store) Intact() error {
	st, err := os.Stat(s.path)
	switch {
	case err != nil:
		return fmt.Errorf("the checkpoint was removed while in use: %w", err)
	case !os.SameFile(st, s.file):
		return fmt.Errorf("the checkpoint %s was replaced while in use", s.path)
	case st.Size() < s.file.Size():
		return &DamagedError{Path: s.path, What: fmt.Sprintf("cut off to %d bytes while in use", st.Size())}
	}
	return nil
}

// guard runs a transaction while the file is what it was when it was opened. One
// that was deleted takes commits that no restart will see; one that was cut off
// kills the process, since bbolt maps it. So both are looked for each time (a
// stat is some thousand times cheaper than a commit), and what slips through
// is caught.
func (s *Store) guard(run func() error) (err error) {
	if err := s.Intact(); err != nil {
		return err
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = &DamagedError{Path: s.path, What: fmt.Sprintf("changed while in use: %v", p)}
		}
	}()
	return run()
}
