// Package limatest is a limactl for tests: it answers each command with what the real one was
// recorded to answer in the same state, does to its files what the real one does, and has
// processes that live and can be killed. What was not recorded fails, loudly.
//
// It exists so that a test of what linnet does with a virtual machine needs none. It must not
// answer anything that the real limactl would not: `make record-limactl` records it again.
//
// A test binary is also this limactl, with Main as a command of testscript.Main; Install puts it
// among the components of a layout, and a Fake sets up what there is.
package limatest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/linnet-dev/linnet/pkg/host"
)

// Fake is the limactl of one LINNET_HOME.
type Fake struct{ Layout host.Layout }

// Install makes a Fake of the program, a copy of the test binary, with an image to make a
// machine from, and with stand-ins for the programs that Lima runs, in the directory Programs.
func Install(l host.Layout, program string) (Fake, error) {
	f := Fake{l}
	// A script, because the race detector holds each process for a second at its end unless a
	// variable forbids it, which a closed environment does not have.
	err := errors.Join(copyFile(program, f.program()),
		write(l.Bin("limactl"), "#!/bin/sh\nGORACE=atexit_sleep_ms=0 exec "+f.program()+" \"$@\"\n", 0o755))
	for _, arch := range []string{"x86_64", "aarch64"} {
		err = errors.Join(err,
			write(filepath.Join(l.Image(arch), "manifest.json"), `{"key": "one"}`, 0o644),
			write(filepath.Join(l.Image(arch), "cmdline"), "quiet\n", 0o644),
			write(filepath.Join(l.Image(arch), "disk.raw"), "disk", 0o644),
			write(filepath.Join(l.Image(arch), "kernel"), "kernel", 0o644),
			write(filepath.Join(l.Image(arch), "initrd"), "initrd", 0o644),
			write(filepath.Join(f.Programs(), "qemu-system-"+arch), "#!/bin/sh\necho QEMU emulator version 7.2.22\n", 0o755))
	}
	for _, name := range []string{"qemu-img", "ssh", "ssh-keygen"} {
		err = errors.Join(err, write(filepath.Join(f.Programs(), name), "#!/bin/sh\nexit 0\n", 0o755))
	}
	return f, err
}

// Programs is a directory to put in front of PATH.
func (f Fake) Programs() string { return filepath.Join(f.Layout.Libexec, "programs") }

// control is the directory of a fake's own files, its program among them.
func (f Fake) control() string { return filepath.Join(f.Layout.Libexec, "fake") }
func (f Fake) program() string { return filepath.Join(f.control(), "limactl") }

// Fail makes the next calls of a command ("start", "disk create") fail as was recorded under
// a name ("qemu"); an empty name ends that.
func (f Fake) Fail(command, name string) error {
	return write(filepath.Join(f.control(), "fail", strings.ReplaceAll(command, " ", "-")), name, 0o644)
}

// Leave has each start that works write a file into the machine's directory, in the place of the
// recorded one of that name: another port for its sshd, say.
func (f Fake) Leave(name, text string) error {
	return write(filepath.Join(f.control(), leave, name), text, 0o644)
}

// leave is the directory of what Leave says.
const leave = "leave"

// Hold keeps each start from getting past the launch of the machine, until Release.
func (f Fake) Hold() error { return write(filepath.Join(f.control(), "hold"), "", 0o644) }

// Release ends Hold.
func (f Fake) Release() error { return os.Remove(filepath.Join(f.control(), "hold")) }

// Calls are the commands so far that change something, without flags, and what was not
// recorded.
func (f Fake) Calls() ([]string, error) {
	text, err := os.ReadFile(filepath.Join(f.control(), "calls"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n"), err
}

// Answers reports whether the agent in the machine answers.
func (f Fake) Answers() bool {
	s := observe(f.Layout.LimaHome())
	return s.driver != 0 && exists(f.answers())
}

func (f Fake) answers() string { return filepath.Join(f.Layout.LimaInstance(), answers) }

// Put makes what a test begins with: an instance that is absent, torn, unreadable, stopped,
// running, orphaned or hollow, with a configuration; and a disk that is none, torn, broken or
// of a size, free or locked. Processes end with the directory that names them.
func (f Fake) Put(instance, config string, disk int64, diskState string) error {
	w := world{home: f.Layout.LimaHome(), executable: f.program()}
	if instance != "absent" {
		if err := os.MkdirAll(w.instance(), 0o700); err != nil {
			return err
		}
	}
	var err error
	switch instance {
	case "absent", "torn":
	case "unreadable":
		err = write(filepath.Join(w.instance(), "lima.yaml"), "vmType\n", 0o600)
	default:
		err = write(filepath.Join(w.instance(), "lima.yaml"), config, 0o600)
	}
	switch instance {
	case "running", "orphaned", "hollow":
		err = errors.Join(err, w.become(instance))
	}
	if diskState != "none" {
		err = errors.Join(err, w.putDisk(disk, diskState))
	}
	return err
}

// Answer makes the agent of a running machine answer.
func (f Fake) Answer() error { return write(f.answers(), "", 0o600) }

// Starting adds the process of another client's start, which does not come to its end.
func (f Fake) Starting() error {
	path := f.Layout.VMLock("limactl")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	lock, err := host.TryLock(path)
	if err != nil {
		return err
	}
	defer lock.Close()
	pid, err := process(f.program(), f.Layout.LimaInstance(), lock)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(lock, pid)
	return err
}

// Close ends the processes that there are, so that what is left is files alone.
func (f Fake) Close() error {
	w := world{home: f.Layout.LimaHome(), executable: f.program()}
	if start, err := os.ReadFile(f.Layout.VMLock("limactl")); err == nil {
		pid, _ := strconv.Atoi(strings.TrimSpace(string(start))) // 0 when it holds none
		w.kill(pid)
	}
	if !exists(w.instance()) {
		return nil
	}
	return w.become("stopped")
}

func write(path, text string, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if mode&0o111 != 0 {
		return WriteProgram(path, text)
	}
	return host.WriteFile(path, []byte(text), mode)
}

// WriteProgram writes a script that can be run at once. A process that another test forks
// meanwhile would hold it open for writing, and the kernel then refuses to run it (ETXTBSY):
// nothing is forked until it is closed.
func WriteProgram(path, text string) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return host.WriteFile(path, []byte(text), 0o755)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func copyFile(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if os.Link(from, to) == nil {
		return nil
	}
	syscall.ForkLock.RLock() // as in WriteProgram
	defer syscall.ForkLock.RUnlock()
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
