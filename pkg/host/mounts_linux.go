package host

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// searchOnly opens a directory for nothing but what is in it: that takes no right to list it.
const searchOnly = unix.O_PATH

// Mount is something that is mounted.
type Mount struct {
	// Point is where.
	Point string
	// Type is the file system's, as in overlay or tmpfs, and Source what it was mounted from.
	Type, Source string
	// Device is the file system's number, and Root the directory in it that is at Point.
	Device, Root string
}

// Mounts lists what this process sees mounted, in the order of mountinfo (proc(5)): what is mounted
// on something comes after it.
func Mounts() ([]Mount, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("listing mounts: %w", err)
	}
	return parseMounts(string(text)), nil
}

func parseMounts(mountinfo string) (mounts []Mount) {
	octal := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	for line := range strings.Lines(mountinfo) {
		before, after, _ := strings.Cut(line, " - ")
		fields, source := strings.Fields(before), append(strings.Fields(after), "", "")
		if len(fields) < 5 {
			continue
		}
		mounts = append(mounts, Mount{Point: octal.Replace(fields[4]), Type: source[0], Source: octal.Replace(source[1]), Device: fields[2], Root: octal.Replace(fields[3])})
	}
	return mounts
}

// sameMount reports whether two open files are in one mount. Of a directory that is bind-mounted into
// its own file system the device is the same, and only the mount's identifier tells.
func sameMount(a, b int) (bool, error) {
	first, err := mountID(a)
	if err != nil {
		return false, err
	}
	second, err := mountID(b)
	return first == second, err
}

// mountID is the identifier of the mount that an open file is in.
func mountID(fd int) (uint64, error) {
	var st unix.Statx_t
	err := unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_NO_AUTOMOUNT, unix.STATX_MNT_ID, &st)
	if err == nil && st.Mask&unix.STATX_MNT_ID != 0 {
		return st.Mnt_id, nil
	}
	if err != nil && !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EPERM) {
		return 0, err
	}
	// Before Linux 5.8, and where a filter of system calls knows no statx.
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", fd))
	if err != nil {
		return 0, err
	}
	return parseMountID(string(text))
}

func parseMountID(fdinfo string) (id uint64, err error) {
	_, value, ok := strings.Cut("\n"+fdinfo, "\nmnt_id:")
	if !ok {
		return 0, errors.New("the kernel does not tell which mount a file is in")
	}
	_, err = fmt.Sscan(value, &id)
	return id, err
}
