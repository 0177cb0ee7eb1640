package native

import "golang.org/x/sys/unix"

// mountBinfmt mounts the kernel's binfmt_misc.
func mountBinfmt(dir string) error { return unix.Mount("binfmt_misc", dir, "binfmt_misc", 0, "") }
