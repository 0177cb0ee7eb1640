package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// envNetns says that this process is in the network namespace that MainInNetns has made.
const envNetns = "LINNET_LAB_NETNS"

// MainInNetns is Main for a suite that needs a network of its own: no other dockerd's rules, no ports of others, loopback alone.
// prepare gets from the network of this machine what the suite needs, and is called before.
func MainInNetns(m *testing.M, prepare func() error) int {
	if os.Getenv(envNetns) != "" {
		if err := run("ip", "link", "set", "lo", "up"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer CloseShared()
		return m.Run()
	}
	if !builtAsRoot() {
		return 1
	}
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	self := exec.Command("/proc/self/exe", os.Args[1:]...)
	self.Args[0] = os.Args[0]
	self.Env = append(os.Environ(), envNetns+"=yes")
	self.Stdin, self.Stdout, self.Stderr = os.Stdin, os.Stdout, os.Stderr
	self.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGTERM}
	var exit *exec.ExitError
	if err := self.Run(); err != nil && !errors.As(err, &exit) {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return self.ProcessState.ExitCode()
}
