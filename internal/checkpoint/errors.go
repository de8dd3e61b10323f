package checkpoint

import (
	"fmt"
	"runtime"
	"strings"
	"time"
)

// A LockedError says that another process, or another Store of this one, holds
// the checkpoint.
type LockedError struct {
	Dir string // the state folder
	PID int    // the holder; 0 if it cannot be known
}

func (e *LockedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("state folder %s is held by another process", e.Dir)
	}
	return fmt.Sprintf("state folder %s is held by another process (pid %d)", e.Dir, e.PID)
}

// A DamagedError says that the checkpoint cannot be trusted. The file is left
// exactly as it was found: to go on without positions loses or repeats lines,
// and that is for the operator to decide.
type DamagedError struct {
	Path string // the checkpoint file
	What string // what is wrong with it
}

func (e *DamagedError) Error() string {
	aside := e.Path + ".damaged-" + time.Now().Format("20060102150405")
	return fmt.Sprintf("checkpoint %s is damaged: %s; nothing was changed. "+
		"Restore it from a backup, or set it aside with: %s "+
		"(without it no position is known: every file begins where its source's 'start' says, "+
		"so lines not yet delivered may be skipped, and lines already delivered may come again)",
		e.Path, e.What, moveCommand(runtime.GOOS, e.Path, aside))
}

// moveCommand is what an operator types to rename a file, whatever is in its name.
func moveCommand(goos, from, to string) string {
	if goos == "windows" {
		return fmt.Sprintf(`move "%s" "%s"`, from, to)
	}
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
	return "mv " + quote(from) + " " + quote(to)
}
