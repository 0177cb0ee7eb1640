package lima

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/report"
	"github.com/linnet-dev/linnet/pkg/vm"
)

// Alive says which processes of the machine there are.
type Alive struct {
	// HostAgent is Lima's own process beside the machine, Driver the machine itself, Starting
	// the limactl that starts it.
	HostAgent, Driver, Starting bool
}

// Any reports whether there is a machine, or will be one soon.
func (a Alive) Any() bool { return a.HostAgent || a.Driver || a.Starting }

// Processes looks at Lima's files and at the processes that they name, which takes
// microseconds. It asks no other program.
func Processes(l host.Layout) Alive {
	return Alive{
		HostAgent: owned(l, "ha.pid") != 0,
		Driver:    owned(l, qemu+".pid") != 0 || owned(l, vz+".pid") != 0,
		Starting:  startPID(l) != 0,
	}
}

// owned is the process that a file of Lima's names, 0 when it has ended. The file may have
// outlived it, as in a power cut, and its number have gone to another.
func owned(l host.Layout, name string) int {
	dir := l.LimaInstance()
	pid := readPID(filepath.Join(dir, name))
	if !alive(pid) {
		return 0
	}
	if belongs(pid, dir) {
		return pid
	}
	// Lima resolves the links on the way to its directory.
	if resolved, err := filepath.EvalSymlinks(dir); err == nil && resolved != dir && belongs(pid, resolved) {
		return pid
	}
	return 0
}

// startPID is the process of a limactl that is starting the machine, 0 when there is none. The
// process has a lock that it was given, and which its children keep; its number is in the file.
func startPID(l host.Layout) int {
	path := l.VMLock("limactl")
	pid := readPID(path)
	if !alive(pid) {
		return 0
	}
	lock, err := host.TryLock(path)
	if err == nil {
		lock.Close()
		return 0 // the number belongs to another process by now
	}
	if !errors.Is(err, host.ErrLocked) {
		return 0
	}
	return pid
}

// readPID reads a file that holds a process's number; 0 when it does not.
func readPID(path string) int {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 1 {
		return 0
	}
	return pid
}

func alive(pid int) bool {
	if pid == 0 {
		return false
	}
	err := syscall.Kill(pid, 0)
	return (err == nil || errors.Is(err, syscall.EPERM)) && !isZombie(pid)
}

// Target is the machine's sshd and how to log in there.
type Target struct {
	// Address is a host and a port, User a name in the machine, Key the path of a private key.
	Address, User, Key string
}

// UpMark is what the guest writes to its console once its network is up.
const UpMark = earlyMark + "up"

// earlyMark begins what the guest's set-up writes to its console: that, and before it only why it
// has failed.
const earlyMark = "linnet-early: "

// Consoles are the files that Lima has a machine's consoles written to.
func Consoles(l host.Layout) []string {
	return []string{filepath.Join(l.LimaInstance(), "serial.log"), filepath.Join(l.LimaInstance(), "serialv.log")}
}

// consoleMost is how much of a console is read, in bytes; the set-up of a guest writes near its
// beginning.
const consoleMost = 256 << 10

// consoleFailure is why the guest of this start could not be set up, empty when it could or is
// still at it.
func consoleFailure(l host.Layout) string {
	why := ""
	for _, path := range Consoles(l) {
		text, _ := host.ReadHead(path, consoleMost) // one of them, at least, is not there
		if bytes.Contains(text, []byte(UpMark)) {
			return ""
		}
		for line := range bytes.Lines(text) {
			if _, said, found := bytes.Cut(line, []byte(earlyMark)); found && why == "" && bytes.HasSuffix(line, []byte("\n")) {
				why = report.CleanLine(string(said))
			}
		}
	}
	return why
}

// ReadTarget reads what Lima's host agent writes before it starts the machine; its error is
// fs.ErrNotExist until then.
func ReadTarget(l host.Layout) (Target, error) {
	path := filepath.Join(l.LimaInstance(), "ssh.config")
	f, err := os.Open(path)
	if err != nil {
		return Target{}, fmt.Errorf("reading how to reach the virtual machine: %w", err)
	}
	defer f.Close()
	values := map[string]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		key, value, _ := strings.Cut(strings.TrimSpace(lines.Text()), " ")
		if _, known := values[key]; !known {
			values[key] = strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	if values["Port"] == "" || values["User"] == "" {
		return Target{}, fmt.Errorf("reading how to reach the virtual machine: %s names no port or no user: %w", path, fs.ErrNotExist)
	}
	return Target{Address: values["Hostname"] + ":" + values["Port"], User: values["User"], Key: l.LimaKey()}, nil
}

// ReadShape reads what the machine was configured with; false when there is none, or it is
// not whole.
func ReadShape(l host.Layout) (vm.Shape, bool) {
	text, err := os.ReadFile(filepath.Join(l.LimaInstance(), "lima.yaml"))
	if err != nil {
		return vm.Shape{}, false
	}
	return vm.ParseShape(string(text))
}
