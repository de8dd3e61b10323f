package output

// An identity tells a file from another one that came to stand under its name, or
// got its inode number after it was deleted.
type identity struct {
	Dev  uint64 `json:"dev"`
	Ino  uint64 `json:"ino"`
	Born int64  `json:"born,omitempty"` // birth time, ns; 0 where the file system has none
}

// same compares. With a birth time the device is left out: its number may change
// when the machine is started anew.
func (i identity) same(o identity) bool {
	if i.Born != 0 && o.Born != 0 {
		return i.Ino == o.Ino && i.Born == o.Born
	}
	return i.Ino == o.Ino && i.Dev == o.Dev
}
