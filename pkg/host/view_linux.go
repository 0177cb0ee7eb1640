package host

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// setApart has a process start in a user and a mount namespace of its own (user_namespaces(7)), as the same user, and
// able to mount there until it gives that up: see Enter.
func setApart(attr *syscall.SysProcAttr) {
	attr.Cloneflags |= unix.CLONE_NEWUSER | unix.CLONE_NEWNS
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}}
	attr.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN}
}

// Enter makes views in this process, which was started apart, and then gives up what made that possible. What the
// process becomes has them (Become): it must do so at once, in the goroutine that has called Enter.
func Enter(views []View) error {
	runtime.LockOSThread() // capabilities are a thread's
	for _, v := range views {
		in, err := filepath.Rel(v.Dir, v.Hidden)
		if err == nil && !filepath.IsLocal(in) {
			err = errors.New("it is not in there")
		}
		if err != nil {
			return fmt.Errorf("hiding %s in %s: %w", v.Hidden, v.Dir, err)
		}
		covered := filepath.Join(v.At, in)
		if err := unix.Mount(v.Dir, v.At, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("making a view of %s: %w", v.Dir, err)
		}
		err = unix.Mount(v.Empty, covered, "", unix.MS_BIND, "")
		if err == nil {
			err = unix.MountSetattr(unix.AT_FDCWD, covered, 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
		}
		if err != nil {
			return fmt.Errorf("hiding %s: %w", v.Hidden, err)
		}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("giving up capabilities: %w", err)
	}
	return nil
}
