//go:build !windows

package traffic

import "testing"

func TestLinkMoveNeverOverwrites(t *testing.T) { checkMove(t, linkMove) }
