package logtailf

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// remote holds the file systems that other machines, or a program in user space
// (FUSE), change without inotify telling.
var remote = map[uint32]string{
	unix.NFS_SUPER_MAGIC:   "nfs",
	unix.SMB_SUPER_MAGIC:   "smb",
	unix.CIFS_SUPER_MAGIC:  "cifs",
	unix.SMB2_SUPER_MAGIC:  "smb2",
	unix.FUSE_SUPER_MAGIC:  "fuse or virtiofs",
	unix.V9FS_MAGIC:        "9p",
	unix.AFS_SUPER_MAGIC:   "afs",
	unix.AFS_FS_MAGIC:      "afs",
	unix.CEPH_SUPER_MAGIC:  "ceph",
	unix.CODA_SUPER_MAGIC:  "coda",
	unix.NCP_SUPER_MAGIC:   "ncp",
	unix.OCFS2_SUPER_MAGIC: "ocfs2",
	// Not in the kernel's magic.h.
	0x0BD00BD0: "lustre",
	0x01161970: "gfs2",
	0x47504653: "gpfs",
	0x19830326: "beegfs",
	0xAAD7AAEA: "panfs",
	0x786F4256: "vboxsf",
	0xBACBACBC: "vmhgfs",
	0x7C7C6673: "prl_fs",
}

// checkLocal returns ErrNotLocal for a folder on a network file system.
func checkLocal(path string) error {
	var st unix.Statfs_t
	for {
		err := unix.Statfs(path, &st)
		if err == nil {
			break
		}
		if err != unix.EINTR {
			return fmt.Errorf("look at the file system of %s: %w", path, err)
		}
	}
	if name := remote[uint32(st.Type)]; name != "" {
		return fmt.Errorf("watch %s: %w (%s)", path, ErrNotLocal, name)
	}
	return nil
}
