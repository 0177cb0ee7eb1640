package lima

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
)

// Facts are what a virtual machine on this host depends on.
type Facts struct {
	// OS is the host's GOOS, Arch the GOARCH of the virtual machine, which is the host's unless Foreign says otherwise.
	OS, Arch string
	// Foreign says that the virtual machine has another architecture than the host, so that it can only be emulated.
	Foreign bool
	// Home is the user's home directory, User the user's name.
	Home, User string
	// Root says that linnet runs as the superuser.
	Root bool
	// CPUs is how many there are.
	CPUs int
	// Kernel is the release of the host's kernel.
	Kernel string
	// Rosetta says that Apple's translator is installed.
	Rosetta bool
}

// rosettaRuntime is there when Rosetta is installed.
const rosettaRuntime = "/Library/Apple/usr/libexec/oah/libRosettaRuntime"

// machineArch is the GOARCH of the virtual machine, where that is not the host's. No user has a use for such a machine; the linker
// sets it for the suite that proves an image of another architecture (e2e/vm/tree.sh).
var machineArch string

// HostFacts returns the facts of this process's host and user.
func HostFacts() Facts {
	f := Facts{OS: runtime.GOOS, Arch: cmp.Or(machineArch, runtime.GOARCH), Root: os.Geteuid() == 0, CPUs: runtime.NumCPU(), Kernel: kernelRelease()}
	f.Foreign = f.Arch != runtime.GOARCH
	f.Home, f.User = os.Getenv("HOME"), os.Getenv("USER")
	if home, err := os.UserHomeDir(); err == nil {
		f.Home = home
	}
	if f.User == "" {
		f.User = os.Getenv("LOGNAME")
	}
	if _, err := os.Stat(rosettaRuntime); err == nil {
		f.Rosetta = true
	}
	return f
}

// The architectures as Lima names them.
const (
	amd64 = "x86_64"
	arm64 = "aarch64"
)

// arch is the virtual machine's architecture as Lima names it.
func (f Facts) arch() (string, error) {
	switch f.Arch {
	case "amd64":
		return amd64, nil
	case "arm64":
		return arm64, nil
	}
	return "", fmt.Errorf("choosing an image: there is none for %s", f.Arch)
}

// longestSocket is the longest name of a socket in the machine's directory: that of Lima's ssh
// while it is being made.
const longestSocket = "/ssh.sock.1234567890123456"

// check says what keeps every virtual machine from running here.
func (f Facts) check(l host.Layout) error {
	if f.Home == "" {
		return &hint.Error{Err: errors.New("finding the home directory: HOME is not set"), Fix: "set HOME"}
	}
	most := 107 // sun_path of unix(7), without the final NUL
	if f.OS != "linux" {
		most = 103
	}
	if over := len(l.LimaInstance()) + len(longestSocket) - most; over > 0 {
		return hint.With(fmt.Errorf("%s %s is too long for a virtual machine's sockets below it: %d bytes, at most %d", host.EnvHome, l.Home, len(l.Home), len(l.Home)-over),
			"set LINNET_HOME to a shorter path; a symbolic link to the long one will not do")
	}
	return nil
}
