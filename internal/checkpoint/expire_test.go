package checkpoint

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := open(t, dir)
		l := ledger(t, s, "screen")
		must(t, l.Register([]Entry{entry("gone", "g"), entry("alive", "a"), entry("taken", "t"), entry("late", "l")}, nil))
		must(t, ledger(t, s, "removed").Commit([]Entry{entry("gone", "r")}, []byte("note")))
		time.Sleep(time.Hour)
		must(t, l.Register([]Entry{entry("young", "y")}, nil))
		l.Take("taken", []byte("t"))

		var asked []string
		n, err := s.Expire(time.Now(), func(output, key string, value []byte) bool {
			asked = append(asked, fmt.Sprintf("%s/%s=%s", output, key, value))
			if key == "late" { // it changes between the look and the deletion
				must(t, l.Touch([]string{"late"}))
			}
			return key == "alive"
		})
		must(t, err)
		if want := "[screen/alive=a screen/gone=g screen/late=l removed/gone=r]"; n != 2 || fmt.Sprint(asked) != want {
			t.Errorf("deleted %d, asked for %v", n, asked)
		}
		if got := content(t, l, ""); got != "alive:a late:l taken:t young:y" {
			t.Errorf("left: %q", got)
		}
		must(t, s.Close())
		s = open(t, dir)
		if r := ledger(t, s, "removed"); content(t, r, "") != "" || string(r.Undo()) != "note" {
			t.Error("the other output's position is there still, or its note is not")
		}
	})
}

// More than one step, so that the deletions of one do not disturb the next.
func TestExpireMany(t *testing.T) {
	s := open(t, t.TempDir())
	l := ledger(t, s, "screen")
	const many = 3*expireStep + 7
	must(t, l.Register(entries(many, "%d"), nil))
	asked := 0
	n, err := s.Expire(time.Now().Add(time.Second), func(_, _ string, _ []byte) bool {
		asked++
		return asked%3 == 0
	})
	must(t, err)
	left, err := l.Load("")
	must(t, err)
	if asked != many || n != many-many/3 || len(left) != many/3 {
		t.Errorf("asked for %d of %d, deleted %d, left %d", asked, many, n, len(left))
	}
	if _, err := verifyFile(s.path); err != nil {
		t.Error(err)
	}
}

func TestExpireNothing(t *testing.T) {
	s := open(t, t.TempDir())
	n, err := s.Expire(time.Time{}, nil)
	if n != 0 || err != nil {
		t.Error(n, err)
	}
	must(t, ledger(t, s, "a").Register(entries(3, "%d"), nil))
	if n, err = s.Expire(time.Time{}, nil); n != 0 || err != nil {
		t.Error(n, err)
	}
}
