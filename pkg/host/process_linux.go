package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// deleted is what /proc/PID/exe has behind the path of a program that was replaced or removed
// while it runs (proc(5)).
const deleted = " (deleted)"

// Process is a process that is held by a descriptor (pidfd_open(2)): whatever is done to it is
// done to the process that was found, never to another one that got its number.
type Process struct {
	PID int
	fd  int
}

// HoldProcess holds a process about which is reports true while it is held; false when there is
// none. It is Closed by the caller.
func HoldProcess(pid int, is func(pid int) bool) (Process, bool) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return Process{}, false
	}
	p := Process{PID: pid, fd: fd}
	// Alive after the answer, it was alive, and so the one meant, while it was asked about.
	if is(pid) && !p.Wait(0) {
		return p, true
	}
	p.Close()
	return Process{}, false
}

// Close lets go of the process.
func (p Process) Close() { unix.Close(p.fd) }

// Wait waits for the process's end and reports whether it came in time. A negative duration
// is for ever.
func (p Process) Wait(d time.Duration) bool {
	deadline := time.Now().Add(d)
	for {
		left := -1
		if d >= 0 {
			left = int(max(time.Until(deadline).Milliseconds(), 0))
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}, left)
		if n > 0 {
			return true
		}
		if !errors.Is(err, unix.EINTR) && d >= 0 && !time.Now().Before(deadline) {
			return false
		}
	}
}

// Ended is closed when the process has ended, or when ctx has, and no thread waits for that. It lets go of the process then.
func (p Process) Ended(ctx context.Context) <-chan struct{} {
	ended := make(chan struct{})
	if p.Wait(0) || unix.SetNonblock(p.fd, true) != nil { // else the runtime's poller does not take it
		p.Close()
		close(ended)
		return ended
	}
	file := os.NewFile(uintptr(p.fd), "pidfd")
	stop := context.AfterFunc(ctx, func() { _ = file.Close() })
	go func() {
		defer close(ended)
		defer file.Close()
		defer stop()
		raw, err := file.SyscallConn()
		if err != nil {
			return
		}
		_ = raw.Read(func(uintptr) bool { return p.Wait(0) }) // an error is ctx's end
	}()
	return ended
}

// End sends SIGTERM, waits for grace, and sends SIGKILL if it must. A process that is gone
// already is no error.
func (p Process) End(grace time.Duration) error {
	for _, step := range []struct {
		signal unix.Signal
		wait   time.Duration
	}{{unix.SIGTERM, grace}, {unix.SIGKILL, 10 * time.Second}} {
		if err := p.Signal(step.signal); err != nil {
			return err
		}
		if p.Wait(step.wait) {
			return nil
		}
	}
	return fmt.Errorf("process %d does not end, not even by SIGKILL", p.PID)
}

// Signal sends the process a signal; one that has ended takes it, too.
func (p Process) Signal(signal unix.Signal) error {
	if err := unix.PidfdSendSignal(p.fd, signal, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("signalling process %d: %w", p.PID, err)
	}
	return nil
}

// ProgramArgs returns the command line of a process if it is what it says: this process's user runs it,
// and what runs is the file that its first word names, or named before that was replaced, removed or
// moved. Anybody can put any words on a command line; a container's root can even have them name the same
// path, of another file.
func ProgramArgs(pid int) (argv []string, ok bool) {
	argv = CommandLine(pid)
	if len(argv) == 0 || !filepath.IsAbs(argv[0]) || !Own(pid) {
		return nil, false
	}
	link := procFile(pid, "exe")
	running, err := os.Stat(link) // follows the link to the file itself, wherever that is by now
	if err != nil {
		return nil, false
	}
	if file, err := os.Stat(argv[0]); err == nil && os.SameFile(file, running) {
		return argv, true
	}
	// An upgrade has put another file there, or none, or has moved the directory away. The name is worth
	// something here alone: in another mount namespace it is about other files.
	name, err := os.Readlink(link)
	if err != nil || !sharesMounts(pid) {
		return nil, false
	}
	return argv, name == argv[0]+deleted || movedFrom(argv[0], strings.TrimSuffix(name, deleted))
}

// movedFrom reports whether a program that runs from a path may be the one that was started by another:
// it has that name, and only a user who may change linnet's own programs could have put it there.
func movedFrom(started, path string) bool {
	if filepath.Base(path) != filepath.Base(started) {
		return false
	}
	self, err := os.Readlink("/proc/self/exe") // where that is by now: it moves along with the others
	if err != nil {
		return false
	}
	_, err = ownAnd(strings.TrimSuffix(self, deleted)).way(path)
	return err == nil
}

// Program names what a process runs, for people.
func Program(pid int) string {
	name, err := os.Readlink(procFile(pid, "exe"))
	if err != nil {
		return "unknown program"
	}
	return strings.TrimSuffix(name, deleted)
}

// CommandLine is a process's command line, nil when it has ended, or ends just now.
func CommandLine(pid int) []string {
	text, err := os.ReadFile(procFile(pid, "cmdline"))
	if err != nil || len(text) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
}

// PIDs lists the numbers of this machine's processes.
func PIDs() []int {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1) // as far as it can be read
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Listener is the process that made a unix socket listen (unix(7), SO_PEERCRED); 0 when that is in another PID
// namespace. It reports false when no process accepts connections there.
func Listener(socket string) (pid int, listens bool) {
	c, err := net.DialTimeout("unix", socket, time.Second) //nolint:noctx // as in Listens
	if err != nil {
		return 0, false
	}
	defer c.Close()
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0, true
	}
	_ = raw.Control(func(fd uintptr) {
		if peer, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(peer.Pid)
		}
	})
	return pid, true
}

func procFile(pid int, name string) string {
	return "/proc/" + strconv.Itoa(pid) + "/" + name
}

// Own reports whether a process has the effective user of this one: files of /proc belong
// to that (proc(5)), or to root when it must not be looked into.
func Own(pid int) bool {
	var st unix.Stat_t
	return unix.Stat("/proc/"+strconv.Itoa(pid), &st) == nil && int(st.Uid) == os.Geteuid()
}

// sharesMounts reports whether a process sees the mounts that this one sees.
func sharesMounts(pid int) bool {
	theirs, err := os.Readlink(procFile(pid, "ns/mnt"))
	if err != nil {
		return false
	}
	ours, err := os.Readlink("/proc/self/ns/mnt")
	return err == nil && ours == theirs
}
