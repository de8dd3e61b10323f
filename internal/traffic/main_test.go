package traffic

import (
	"testing"

	"github.com/logcatchsys/logcatchsys/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }
